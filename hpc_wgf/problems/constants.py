"""Constant tensors on the device where they are wanted."""

from __future__ import annotations

import torch
from torch import Tensor


class Constant:
    """A tensor on the CPU, which is copied to a device once: a copy makes the host wait."""

    def __init__(self, value: Tensor) -> None:
        self._copies = {torch.device("cpu"): value}

    def on(self, device: torch.device) -> Tensor:
        """Its copy on a device, not to be changed."""
        if device not in self._copies:
            self._copies[device] = self._copies[torch.device("cpu")].to(device)
        return self._copies[device]
