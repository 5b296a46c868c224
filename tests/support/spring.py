"""The attraction for which flows have closed forms."""

from __future__ import annotations

import torch

from hpc_wgf.interactions.kernels import Kernel


class Spring(Kernel):
    """J(x) = ½|x|²."""

    def value(self, square):
        return 0.5 * square

    def weight(self, square):
        return torch.ones_like(square)

    def even_powers(self):
        return {2: 0.5}
