"""Start densities by distributions of other libraries, as torch.distributions or flows of zuko."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..kinds import check_kind
from ..user_code import called, check_values
from .densities import Moments

_TOLD_BY = 64  # samples


class DistributionDensity:
    """λ given by `log_prob` and `sample` of a distribution on ℝᵈ.

    The score is the gradient of `log_prob` by automatic differentiation. Samples are drawn with
    torch's own generator, seeded by the random numbers of the run; its state is put back after.
    """

    def __init__(self, distribution: Any, dimension: int | None = None, name: str = ""):
        """`distribution`: with log_prob(z), (n, d) → (n,), and sample((n,)), (n, d), on the CPU.
        `dimension`: d, by default that of its `event_shape`. `name`: what descriptions of a run
        call it, by default the name of its class; they add a mean of `log_prob`.

        Errors: `InputError` for what lacks one of these, for an `event_shape` other than (d,), and
        where samples or `log_prob` cannot be had."""
        check_kind(
            distribution, "distribution", ("log_prob", "sample"),
            "it needs log_prob(z) and sample((n,)), as torch.distributions have",
        )  # fmt: skip
        shape = tuple(getattr(distribution, "event_shape", ()))
        batch = tuple(getattr(distribution, "batch_shape", ()))
        if dimension is None and (batch or len(shape) != 1):
            raise InputError(
                f"a distribution on ℝᵈ has event_shape (d,) and no batch_shape, and this has "
                f"{shape} and {batch}: torch.distributions.Independent(…, 1) makes coordinates of "
                "a batch, or give its dimension"
            )
        self.dimension = dimension or shape[0]
        self.distribution = distribution
        self.name = name or type(distribution).__name__
        z = self.sample(np.random.default_rng(0), _TOLD_BY)
        # Rounded, as the last digits differ from machine to machine.
        self._told = f"{float(self.log_density(z).mean()):.6g}"

    def __repr__(self) -> str:
        return f"DistributionDensity({self.name}, {self.dimension}, mean log_prob {self._told})"

    @torch.no_grad()
    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random.integers(2**62)))
            z = called(f"sample of {self.name}", self.distribution.sample, (count,))
        if not isinstance(z, Tensor) or z.shape != (count, self.dimension):
            given = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise InputError(
                f"sample(({count},)) of {self.name} returned {given}: expected a tensor of shape "
                f"({count}, {self.dimension})"
            )
        return z.detach().cpu().double()

    def log_density(self, z: Tensor) -> Tensor:
        what = f"log_prob of {self.name}"
        value = called(what, self.distribution.log_prob, z)
        if isinstance(value, Tensor) and value.is_floating_point():
            value = value.to(z)  # Its own parameters may be in another precision.
        check_values(what, value, z, z.shape[:1], "one value per sample")
        return value

    def score(self, z: Tensor) -> Tensor:
        with torch.enable_grad():
            point = z.detach().clone().requires_grad_()
            (score,) = torch.autograd.grad(self.log_density(point).sum(), point)
        return score

    def moments(self) -> Moments | None:
        """None: they are taken from samples."""
        return None

    def jump(self) -> str | None:
        """None: it is taken to be continuous."""
        return None
