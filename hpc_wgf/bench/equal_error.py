"""Solves of one system with and without a preconditioner, stopped at a given projection error."""

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

_SHIFTS = 4  # so many shifts are tried, each a tenth of the one before
_TIGHT = 1e-9  # so small a tolerance that the projection error ends the solve first


@dataclass(frozen=True)
class Solves:
    """The system Ĝη = −∇F, and the solves of it with and without a preconditioner."""

    runner: PWGF
    """The method whose system it is."""
    options: PWGFOptions
    """Its options."""
    system: NormalEquations
    """Ĝ, −∇F and the forces."""

    def plain(self) -> tuple[Tensor, SolveStats]:
        """η, (p,), and how the solve ended, without a preconditioner, to the tolerance `rtol`."""
        options = replace(self.options, preconditioner=Preconditioning.NONE)
        return self._solver(options).solve(self.runner.setting.map, self.system, None, None)[:2]

    def build(self) -> GramModel:
        """The model of Ĝ from a subsample, of which the method's kind of preconditioner is made."""
        return (
            self._solver(self.options)
            .build(self.runner.setting.map, self.system.ensemble, self.shift)
            .model
        )

    @property
    def shift(self) -> float:
        """The shift ε/‖Ĝ‖ with which the method begins."""
        return self._solver(self.options).first_shift()

    def _solver(self, options: PWGFOptions) -> MetricSolver:
        runner = self.runner
        return MetricSolver(runner.setting.map, options, runner.reciprocal_condition)

    def preconditioned(
        self, model: GramModel, shift: float, most: int, early_stopping: EarlyStopping | None = None
    ) -> tuple[Tensor, SolveStats]:
        """η, (p,), and how the solve ended, with the preconditioner of `model`.

        `shift`: ε/‖Ĝ‖. `most`: products at most, the one that verifies the residual included.
        `early_stopping`: may end the solve before.
        """
        epsilon, b = shift * model.norm, self.system.b
        return minres(
            self.system.gram,
            b,
            max_steps=max(2, most),
            shift=epsilon,
            early_stopping=early_stopping,
            rtol=max(_TIGHT, 10 * torch.finfo(b.dtype).eps),
            preconditioner=model.shifted(epsilon, b.dtype),
        )

    def as_good(
        self, model: GramModel, bound: float, most: int
    ) -> tuple[float, Tensor, SolveStats]:
        """The shift, η and the end of a preconditioned solve that stops as soon as δ ≤ `bound`.

        The shift is the largest for which δ gets there, as a shift makes δ larger: the method's own
        or a tenth, a hundredth or a thousandth of it. `most`: products at most with each of them.
        """
        shift = self.shift
        for smaller in range(_SHIFTS):
            eta, stats = self.preconditioned(model, shift, most, UntilAsGood(self, bound))
            if stats.status is Status.VALIDATION or smaller == _SHIFTS - 1:
                break
            shift *= 0.1
        return shift, eta, stats

    def projection_error(self, eta: Tensor) -> float:
        """δ = E|Jη + f|² on the samples of the system [PWGF (3.27)], in units of f²; η: (p,)."""
        gram, forces = self.system.gram, self.system.forces
        pairs = zip(gram.chunks, forces, strict=True)
        ensemble = self.system.ensemble
        sums = [ensemble.square(k, J.jvp(eta) + f)[None] for k, (J, f) in enumerate(pairs)]
        return float(ensemble.mean(tree_sum(sums)))


class UntilAsGood(EarlyStopping):
    """Ends the iteration at the first iterate whose projection error is at most a bound."""

    def __init__(self, solves: Solves, bound: float) -> None:
        self._solves, self._bound = solves, bound

    def update(self, x: Tensor) -> Tensor | None:
        return x if self._solves.projection_error(x) <= self._bound else None
