"""Adam of torch on every rank, with sums over samples and ranks along one binary tree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import StepFailed
from ...parallel import Communicator, TreeSum
from .engine import Contributions

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Means of gradients and of their squares, as `torch.optim.Adam` names them."""


class TorchEngine:
    """An `Engine` by `torch.optim.Adam`. Gradients of chunks are added in float64 along a binary
    tree, so that 1, 2, 4, … ranks take the same steps to the bit."""

    def __init__(
        self, module: nn.Module, communicator: Communicator, *, clip: float | None = None
    ) -> None:
        """`clip`: the largest Euclidean norm of a gradient, beyond which it is scaled down."""
        self._communicator, self._clip = communicator, clip
        self._parameters = list(module.parameters())
        # Not those of a GPU in one kernel: its bits are those of a CPU's formula nowhere else.
        self._adam = torch.optim.Adam(self._parameters, lr=0.0, foreach=False)

    def step(self, loss: Contributions, rate: float) -> float:
        own = TreeSum()
        for part in loss:
            value = part()
            grads = torch.autograd.grad(value, self._parameters)
            own.add(torch.cat([each.detach().double().reshape(-1) for each in (value, *grads)]))
        summed = self._communicator.sum(own.total())
        gradient = summed[1:]
        norm, found = torch.stack([gradient.norm(), summed[0]]).tolist()
        check_finite(found, norm)
        if self._clip is not None and norm > self._clip:
            gradient = gradient * (self._clip / norm)
        sizes = [parameter.numel() for parameter in self._parameters]
        for parameter, part in zip(self._parameters, gradient.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return float(found)

    def state_dict(self) -> dict[str, np.ndarray]:
        states = [self._adam.state[parameter] for parameter in self._parameters]
        taken = {"parameters": joined([each.detach() for each in self._parameters])}
        if any(not state for state in states):  # No step has been taken.
            return taken
        for name in MOMENTS:
            taken[name] = joined([state[name] for state in states])
        return {**taken, "steps": states[0]["step"].numpy()}

    def close(self) -> None:
        """It holds nothing but its moments."""

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        fill(self._parameters, arrays["parameters"])
        self._adam.state.clear()
        if "steps" not in arrays:
            return
        for parameter in self._parameters:
            state = self._adam.state[parameter]
            state["step"] = torch.from_numpy(arrays["steps"].copy())
            state |= {name: torch.empty_like(parameter) for name in MOMENTS}
        for name in MOMENTS:
            fill([self._adam.state[each][name] for each in self._parameters], arrays[name])


def check_finite(*values: float) -> None:
    """Errors: `StepFailed` where a loss or the norm of its gradient is not finite."""
    if not all(map(math.isfinite, values)):
        raise StepFailed(
            "the loss that is trained on, or its gradient, is not finite: a smaller "
            "method.learning_rate, or method.clip, keeps it so"
        )


def joined(parts: Sequence[Tensor]) -> np.ndarray:
    """Tensors one after another, on the host."""
    return torch.cat([part.reshape(-1) for part in parts]).cpu().numpy()


@torch.no_grad()
def fill(tensors: Sequence[Tensor], values: np.ndarray) -> None:
    """The opposite of `joined`."""
    parts = torch.from_numpy(values).split([each.numel() for each in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """A context in which the parameters of modules are constants for the gradients of others."""
    parameters = [each for module in modules for each in module.parameters() if each.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
