"""What a user may hand in by import path: potentials and modules, sound and flawed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from hpc_wgf.parallel import find_place

_calls = 0


def _flawed() -> bool:
    return str(find_place(os.environ).rank) == os.environ.get("FLAWED_RANK", "1")


def _fails_now() -> bool:
    global _calls
    _calls += 1
    return _calls > 100 and _flawed() and _noted()


def _noted() -> bool:
    """True, with the moment of the first failure in a file's time for who asks for it."""
    if "FLAWED_AT" in os.environ:
        with suppress(FileExistsError):
            Path(os.environ["FLAWED_AT"]).touch(exist_ok=False)
    return True


def harmonic(x: Tensor) -> Tensor:
    """½|x − 1|²."""
    return 0.5 * ((x - 1) ** 2).sum(1)


def not_a_number(x: Tensor) -> Tensor:
    """½|x − 1|², until one rank gets NaN."""
    return harmonic(x) * (torch.nan if _fails_now() else 1.0)


def raises(x: Tensor) -> Tensor:
    """½|x − 1|², until one rank raises."""
    if _fails_now():
        raise ZeroDivisionError("the flaw of this potential")
    return harmonic(x)


def missing_on_one_node(x: Tensor) -> Tensor:
    """Wrong from the first call, on one rank only."""
    if _flawed() and _noted():
        raise FileNotFoundError("table.dat")
    return harmonic(x)


def kills(x: Tensor) -> Tensor:
    """½|x − 1|², until the process is killed."""
    if _fails_now():
        os.kill(os.getpid(), 9)
    return harmonic(x)


def before_its_time(x: Tensor) -> Tensor:
    """½|x − 1|², on one rank in a process whose clock is eleven days behind."""
    if _flawed() and _calls == 0:
        behind = time.time
        time.time = lambda: behind() - 1e6
    _fails_now()
    return harmonic(x)


def no_potential(x: Tensor) -> Tensor:
    """The wrong shape: a table in place of one value per sample."""
    return x


class Net(torch.nn.Module):
    """A module of the user's own, not the identity at the start."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(dimension, 16), torch.nn.Tanh(), torch.nn.Linear(16, dimension)
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


def kernel(square):
    """A rational attraction of |x|²."""
    return -1 / (1 + square)


def stripes(x):
    """A kernel that is no function of the distance."""
    return torch.cos(3 * x[:, 0]) * torch.exp(-0.5 * (x**2).sum(1))


def lopsided(x):
    """No kernel, as it is not even."""
    return x[:, 0] + (x**2).sum(1)


NORMAL = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
"""A distribution in place of a start density."""
