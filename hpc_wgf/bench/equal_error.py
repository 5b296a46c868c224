"""Solves of one system with and without a preconditioner, ended at a given projection error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..choices import Preconditioning
from ..krylov import EarlyStopping, SolveStats, Status, minres
from ..methods.pwgf import PWGF, PWGFOptions
from ..methods.pwgf.normal_equations import NormalEquations
from ..methods.pwgf.solver import MetricSolver
from ..metric.preconditioner import GramModel
from ..parallel import tree_sum

_SHIFTS = 4  # tenfold smaller ones that are tried
_TIGHT = 1e-9  # a tolerance that never ends a solve which is to be ended by its projection error


@dataclass(frozen=True)
class Solves:
    """A system, and the two ways to solve it."""

    runner: PWGF
    options: PWGFOptions
    system: NormalEquations

    def plain(self) -> tuple[Tensor, SolveStats]:
        options = replace(self.options, preconditioner=Preconditioning.NONE)
        return self._solver(options).solve(self.runner.setting.map, self.system, None, None)[:2]

    def build(self) -> GramModel:
        """What the method's own kind of preconditioner knows of Ĝ, from a subsample."""
        return (
            self._solver(self.options)
            .build(self.runner.setting.map, self.system.ensemble, self.shift)
            .model
        )

    @property
    def shift(self) -> float:
        """ε/‖Ĝ‖ with which the method begins."""
        return self._solver(self.options).first_shift()

    def _solver(self, options: PWGFOptions) -> MetricSolver:
        runner = self.runner
        return MetricSolver(runner.setting.map, options, runner.reciprocal_condition)

    def preconditioned(
        self, model: GramModel, shift: float, most: int, early_stopping: EarlyStopping | None = None
    ) -> tuple[Tensor, SolveStats]:
        """At most so many products, the one that verifies the residual included."""
        epsilon, b = shift * model.norm, self.system.b
        return minres(
            self.system.gram,
            b,
            max_steps=max(2, most),
            shift=epsilon,
            early_stopping=early_stopping,
            rtol=max(_TIGHT, 10 * torch.finfo(b.dtype).eps),
            preconditioner=model.shifted(epsilon, b.dtype),
            graph=self.runner.communicator.capturable,
        )

    def as_good(
        self, model: GramModel, bound: float, most: int
    ) -> tuple[float, Tensor, SolveStats]:
        """The preconditioned solve that ends as soon as δ ≤ `bound`, and its shift: the largest
        of the method's own and smaller ones with which it gets there, as a shift costs δ."""
        shift = self.shift
        for smaller in range(_SHIFTS):
            eta, stats = self.preconditioned(model, shift, most, UntilAsGood(self, bound))
            if stats.status is Status.VALIDATION or smaller == _SHIFTS - 1:
                break
            shift *= 0.1
        return shift, eta, stats

    def projection_error(self, eta: Tensor) -> float:
        """δ = E|Jη + f|² [PWGF (3.27)], in units of f²."""
        gram, forces = self.system.gram, self.system.forces
        pairs = zip(gram.chunks, forces, strict=True)
        ensemble = self.system.ensemble
        sums = [ensemble.square(k, J.jvp(eta) + f)[None] for k, (J, f) in enumerate(pairs)]
        return float(ensemble.mean(tree_sum(sums)))


class UntilAsGood(EarlyStopping):
    """Ends an iteration at the first x whose projection error is not above a bound."""

    def __init__(self, solves: Solves, bound: float) -> None:
        self._solves, self._bound = solves, bound

    def update(self, x: Tensor) -> Tensor | None:
        return x if self._solves.projection_error(x) <= self._bound else None
