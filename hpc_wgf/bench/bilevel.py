"""[PFPE] Algorithm 1: a step as a saddle point, by Adam on a map and, inside, on a potential ψ.

A step of length h from θ_0 minimises over θ, ε a small number [PFPE (64)–(66), Remark 9],

    E[2∇ψ(T_0)·T_θ] + (2h/ε) E[V(T_θ) − β log|det ∇T_θ|],
    ψ = argmin E|∇ψ(T_0) − (T_θ − T_0)/ε|²,

by turns: `inner` steps of Adam on the parameters of a ReLU network ψ, then one on θ, `outer` times.
Line 7 of the algorithm has Y_k where X_k is meant. A ReLU network's gradient is constant between
its kinks, which its biases move: automatic differentiation gives these a gradient of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..cloud import Cloud
from ..ensemble import Ensemble
from ..errors import InputError
from ..gradients import GradientProjection, basis_size
from ..maps import PushForward
from ..parallel import Communicator
from ..problems import Problem

_WIDTH, _LAYERS = 20, 6  # of ψ
_SCALE = 5e-3  # ε, the size of a step of Adam on θ
_FEWEST, _PER_COORDINATE = 1000, 300  # samples of a step of Adam

Gradient = Callable[[Tensor], Tensor]
"""x, (n, d) ↦ ∇ψ(x), (n, d)."""


class Inner(Protocol):
    """The inner problem, and what it has learned so far."""

    def fitted(self, draw: Callable[[], tuple[Tensor, Tensor]]) -> Gradient:
        """∇ψ nearest to a field; `draw` gives new points, (n, d), and the field there."""
        ...


@dataclass(frozen=True)
class BiLevel:
    """The numbers of the algorithm, by default those of [PFPE 6.1.1]."""

    outer: int = 20
    """M_out."""
    inner: int = 100
    """M_in."""
    outer_rate: float = 5e-3
    """α_out."""
    inner_rate: float = 5e-4
    """α_in."""
    exact: bool = False
    """Whether ψ is found by a linear solve (see `GradientProjection`) in place of Adam."""


class NetworkPotential:
    """ψ by Adam on a ReLU network of 6 layers of width 20, which goes on from where it was."""

    def __init__(self, dimension: int, steps: int, rate: float) -> None:
        sizes = [dimension, *[_WIDTH] * (_LAYERS - 1), 1]
        layers: list[nn.Module] = []
        for k, (rows, columns) in enumerate(pairwise(sizes)):
            layers += [*([nn.ReLU()] if k else []), nn.Linear(rows, columns)]
        self._net = nn.Sequential(*layers).double()
        self._steps = steps
        self._adam = torch.optim.Adam(self._net.parameters(), lr=rate)

    def gradient(self, x: Tensor, *, graph: bool = False) -> Tensor:
        """∇ψ(x), (n, d)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self._net(x).sum(), x, create_graph=graph)[0]

    def fitted(self, draw: Callable[[], tuple[Tensor, Tensor]]) -> Gradient:
        for _ in range(self._steps):
            x, field = draw()
            self._adam.zero_grad()
            (self.gradient(x, graph=True) - field).square().sum(1).mean().backward()
            self._adam.step()
        return self.gradient


class SolvedPotential:
    """ψ by least squares over functions, on the points of one draw."""

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator

    def fitted(self, draw: Callable[[], tuple[Tensor, Tensor]]) -> Gradient:
        x, field = draw()
        ensemble = Ensemble([Cloud(x, x[:, 0], x)], [[len(x)]], self._communicator)
        count = basis_size(None, *x.shape)
        projection = GradientProjection.at([x], ensemble, count)
        c, basis = projection.coefficients(projection.moments([field])), projection.basis
        return lambda x: (basis.first(x) * c) @ basis.directions


def check_bilevel(problem: Problem, communicator: Communicator) -> None:
    """Errors: `InputError` where the algorithm does not solve a problem, and for several ranks."""
    plain = problem.mobility is None and problem.drift is None and problem.periods is None
    if not (problem.energy.is_fokker_planck and plain):
        raise InputError(
            "Algorithm 1 of [PFPE] solves Fokker–Planck equations without mobility, drift and "
            f"circles, and {problem.name} is none: give another problem"
        )
    if communicator.size > 1:
        raise InputError(
            f"Algorithm 1 of [PFPE] runs on one rank, and here are {communicator.size}: start it "
            "without torchrun"
        )


def run_bilevel(
    problem: Problem, map: PushForward, step: float, numbers: BiLevel, communicator: Communicator,
    *, seed: int = 0,
) -> int:  # fmt: skip
    """Move the parameters of `map` from the start to the end of `problem` in steps of about `step`;
    the number of these. `map` is in float64. Errors: those of `check_bilevel`."""
    check_bilevel(problem, communicator)
    random, d = np.random.default_rng(seed), problem.dimension
    torch.manual_seed(seed)
    count = max(_FEWEST, _PER_COORDINATE * d)
    inner: Inner = NetworkPotential(d, numbers.inner, numbers.inner_rate)
    if numbers.exact:
        inner = SolvedPotential(communicator)
    span = problem.until - problem.start_time
    steps = max(1, round(span / step))
    for _ in range(steps):
        theta = map.get_theta()

        def draw() -> Tensor:
            return problem.start.sample(random, count)

        _advance(problem, map, theta, span / steps, numbers, inner, draw)
    return steps


def _advance(
    problem: Problem, map: PushForward, begun: Tensor, h: float, numbers: BiLevel, inner: Inner,
    draw: Callable[[], Tensor],
) -> None:  # fmt: skip
    """One step from the parameters `begun`, (p,)."""
    adam = torch.optim.Adam(map.parameters(), lr=numbers.outer_rate)
    potential, beta = problem.energy.potential(), problem.energy.beta()

    @torch.no_grad()
    def before(z: Tensor) -> Tensor:
        present = map.get_theta()
        x = map.at(begun)(z).clone()
        map.set_theta(present)
        return x

    def field() -> tuple[Tensor, Tensor]:
        z = draw()
        x = before(z)
        with torch.no_grad():
            return x, (map(z) - x) / _SCALE

    for _ in range(numbers.outer):
        gradient = inner.fitted(field)
        z = draw()
        pull = gradient(before(z)).detach()
        with torch.enable_grad():
            x, log_det = map.forward_and_logdet(z)
            values = -beta * log_det
            if potential is not None:
                values = values + potential(x)
            loss = (2 * (pull * x).sum(1) + 2 * h / _SCALE * values).mean()
            adam.zero_grad()
            loss.backward()
        adam.step()
