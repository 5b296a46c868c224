"""Solves of one system with and without a preconditioner, ended at a given projection error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..krylov import SolveStats, Status, Watched, minres
from ..methods import PWGF, PWGFOptions
from ..methods.solver import MetricSolver
from ..methods.system import System
from ..metric import Preconditioning
from ..metric.preconditioner import Factorable
from ..parallel import tree_sum

_SHIFTS = 4  # tenfold smaller ones that are tried
_TIGHT = 1e-9  # a tolerance that never ends a solve which is to be ended by its projection error


@dataclass(frozen=True)
class Solves:
    """A system, and the two ways to solve it."""

    runner: PWGF
    options: PWGFOptions
    system: System

    def plain(self) -> tuple[Tensor, SolveStats]:
        options = replace(self.options, preconditioner=Preconditioning.NONE)
        return self._solver(options).solve(self.runner.map, self.system, None, None)[:2]

    def build(self) -> Factorable:
        """What the method's own kind of preconditioner knows of Ĝ, from a subsample."""
        return (
            self._solver(self.options).build(self.runner.map, self.system.samples, self.shift).known
        )

    @property
    def shift(self) -> float:
        """ε/‖Ĝ‖ with which the method begins."""
        return self._solver(self.options).first_shift()

    def _solver(self, options: PWGFOptions) -> MetricSolver:
        runner = self.runner
        return MetricSolver(runner.map, options, runner.communicator, runner.conditioning)

    def preconditioned(
        self, known: Factorable, shift: float, most: int, watched: Watched | None = None
    ) -> tuple[Tensor, SolveStats]:
        """At most so many products, the one that verifies the residual included."""
        epsilon, b = shift * known.norm, self.system.b
        return minres(
            self.system.gram, b, max_steps=max(2, most), shift=epsilon, watched=watched,
            rtol=max(_TIGHT, 10 * torch.finfo(b.dtype).eps),
            preconditioner=known.shifted(epsilon, b.dtype),
            graph=self.runner.communicator.capturable,
        )  # fmt: skip

    def as_good(
        self, known: Factorable, bound: float, most: int
    ) -> tuple[float, Tensor, SolveStats]:
        """The preconditioned solve that ends as soon as δ ≤ `bound`, and its shift: the largest
        of the method's own and smaller ones with which it gets there, as a shift costs δ."""
        shift = self.shift
        for smaller in range(_SHIFTS):
            eta, stats = self.preconditioned(known, shift, most, UntilAsGood(self, bound))
            if stats.status is Status.HELD_OUT or smaller == _SHIFTS - 1:
                break
            shift *= 0.1
        return shift, eta, stats

    def projection_error(self, eta: Tensor) -> float:
        """δ = E|Jη + f|² [PWGF (3.27)], in units of f²."""
        gram, forces = self.system.gram, self.system.forces
        pairs = zip(gram.leaves, forces, strict=True)
        sums = [(J.jvp(eta) + f).double().square().sum()[None] for J, f in pairs]
        return float(self.runner.communicator.sum(tree_sum(sums))) / self.system.total


class UntilAsGood(Watched):
    """Ends an iteration at the first x whose projection error is not above a bound."""

    def __init__(self, solves: Solves, bound: float) -> None:
        self._solves, self._bound = solves, bound

    def look(self, x: Tensor) -> Tensor | None:
        return x if self._solves.projection_error(x) <= self._bound else None
