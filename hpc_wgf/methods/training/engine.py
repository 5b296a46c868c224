"""What trains one network: a step of Adam on a loss that is a sum over the samples of all ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

__all__ = ["Contributions", "Engine"]

Contributions = Sequence[Callable[[], Tensor]]
"""The loss in parts, one for each chunk of this rank: functions that return a scalar,
differentiable in the network's parameters. The loss is their sum over all chunks of all ranks."""


class Engine(Protocol):
    """Adam on the parameters of one module, which are the same on every rank."""

    def step(self, loss: Contributions, rate: float) -> float:
        """One step with the learning `rate`; the loss before it. Collective. Errors: `StepFailed`
        on every rank where the loss or its gradient is not finite."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and Adam's moments, whole on every rank. Collective."""
        ...

    def close(self) -> None:
        """Give back what it holds; it is used no more."""
        ...

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """What `state_dict` took apart, the same bits. Collective."""
        ...
