"""The solve of (Ĝ + εI) η = −∇F, and what one solve leaves to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ...accounts import Part, counted
from ...choices import Form, Preconditioning, Solver
from ...ensemble import Ensemble
from ...krylov import EarlyStopping, SolveStats, Status, lsmr, minres, minres_from
from ...maps import PushForward
from ...matrix_field import MatrixField
from ...metric import (
    JacobianRows,
    PreconditionerBuild,
    build_for,
    default_preconditioner,
)
from ...problems import Flow
from .normal_equations import NormalEquations, roots_at
from .options import PWGFOptions
from .solver_memory import Memory, Origin

_POWER_ITERATIONS = 6
SPARED = 1e3  # shifts in the smallest eigenvalue of the metric of an affine map
_SHIFT = 0.01  # ε/‖Ĝ‖ over rtol: the error of the shift is then about that of the tolerance


class Solved(NamedTuple):
    """η, how the solve ended, and what it leaves to the next one."""

    eta: Tensor
    stats: SolveStats
    memory: Memory | None


class MetricSolver:
    """Solves on behalf of a method; itself it remembers nothing. `reciprocal_condition`: of the
    start density (see `units`)."""

    def __init__(
        self, map: PushForward, options: PWGFOptions, reciprocal_condition: float = 1.0
    ) -> None:
        self._options = options
        self._reciprocal_condition = reciprocal_condition
        self.kind = options.preconditioner
        if self.kind is Preconditioning.AUTOMATIC:
            plain = options.form is Form.ENERGY
            self.kind = Preconditioning.NONE if plain else default_preconditioner(map)

    def first_shift(self) -> float:
        """ε/‖Ĝ‖ at the start, of a preconditioned solve."""
        if self._options.shift is not None:
            return self._options.shift
        # An affine motion is damped by ten times rtol at most, whatever the units and origin of x.
        return _SHIFT * self._options.rtol * min(1.0, SPARED * self._reciprocal_condition)

    def solve(
        self,
        map: PushForward,
        system: NormalEquations,
        memory: Memory | None,
        validation: NormalEquations | None,
        start: Tensor | None = None,
    ) -> Solved:
        """η of a system, at the map's present parameters. `memory`: of the solve before.
        `validation`: the system of other samples, which ends the iteration. `start`: a vector near
        η, with which a preconditioned iteration begins; one without begins at 0, whose limit is the
        η of least norm.

        A preconditioner is made where there is none, where making one pays, and where the
        present one turns out to cost more products than a new one would."""
        most = self._options.max_products
        if self.kind is Preconditioning.NONE:
            return Solved(*self._iterate(system, None, validation, most), None)
        memory = self._prepared(map, system, memory)
        patience = most
        if memory.first_count is not None:
            patience = min(most, memory.first_count + 2 + int(memory.cost(system)))
        eta, stats = self._iterate(system, memory, validation, patience, start=start)
        if stats.status is not Status.MAX_STEPS or patience == most:
            return Solved(eta, stats, memory.after(stats.products))
        memory = replace(self._made(map, system, memory.shift), second_extra=stats.products)
        eta, again = self._iterate(system, memory, validation, most, start=start)
        total = replace(again, products=stats.products + again.products)
        return Solved(eta, total, memory.after(again.products))

    def iterate(
        self, map: PushForward, system: NormalEquations, memory: Memory | None, *, rtol: float
    ) -> tuple[Tensor, SolveStats]:
        """η of a further system, to `rtol` at most, near the parameters of the solve that left
        `memory`, which this solve only uses."""
        rtol = max(rtol, self._options.rtol)
        return self._iterate(system, memory, None, self._options.max_products, rtol)

    def rebuild(
        self, map: PushForward, ensemble: Ensemble, flow: Flow, origin: Origin, shift: float, *,
        first_count: int | None, extra_total: int, second_extra: int | None,
    ) -> Memory:  # fmt: skip
        """The memory of another process; collective. `ensemble`, `flow`: of its origin's step and
        of the problem."""
        roots = roots_at(map.at(origin.theta), ensemble, flow)
        built = self.build(map, ensemble, origin.shift, roots)
        memory = self._with_shift(origin, built, shift)
        return replace(
            memory, first_count=first_count, extra_total=extra_total, second_extra=second_extra
        )

    def increase_damping(
        self, system: NormalEquations, memory: Memory, validation: NormalEquations | None
    ) -> Solved:
        """The same with a shift ten times as large, which keeps η smaller; `memory`: of the solve
        of this system."""
        memory = self._with_shift(memory.origin, memory.built, 10.0 * memory.shift)
        eta, stats = self._iterate(system, memory, validation, self._options.max_products)
        return Solved(eta, stats, memory.after(stats.products))

    def decrease_damping(self, memory: Memory | None) -> Memory | None:
        """The memory for a new step: a raised shift comes down tenfold, at most to the first."""
        if memory is None or memory.shift <= self.first_shift():
            return memory
        shift = max(self.first_shift(), 0.1 * memory.shift)
        lower = self._with_shift(memory.origin, memory.built, shift)
        return replace(
            lower,
            first_count=memory.first_count,
            extra_total=memory.extra_total,
            second_extra=memory.second_extra,
        )

    def _prepared(self, map: PushForward, system: NormalEquations, memory: Memory | None) -> Memory:
        if memory is None:
            return self._made(map, system, self.first_shift())
        if not memory.worn_out(memory.cost(system)):
            return memory
        return replace(self._made(map, system, memory.shift), second_extra=memory.second_extra)

    @counted(Part.PRECONDITIONER)
    def build(
        self, map: PushForward, ensemble: Ensemble, shift: float,
        roots: Sequence[MatrixField] | None = None,
    ) -> PreconditionerBuild:  # fmt: skip
        """What this kind of preconditioner knows of Ĝ, from a subsample; collective. `roots`: see
        `GramOperator`."""
        return build_for(map, ensemble, self.kind, shift, roots)

    def _made(self, map: PushForward, system: NormalEquations, shift: float) -> Memory:
        origin = Origin(map.get_theta(), system.ensemble.step, shift)
        return self._with_shift(
            origin, self.build(map, system.ensemble, shift, system.gram.roots), shift
        )

    @counted(Part.PRECONDITIONER)
    def _with_shift(self, origin: Origin, built: PreconditionerBuild, shift: float) -> Memory:
        epsilon = shift * built.model.norm
        preconditioner = built.model.shifted(epsilon, self._options.torch_dtype)
        return Memory(origin, built, preconditioner, shift, epsilon)

    def _iterate(
        self,
        system: NormalEquations,
        memory: Memory | None,
        validation: NormalEquations | None,
        most: int,
        rtol: float | None = None,
        start: Tensor | None = None,
    ) -> tuple[Tensor, SolveStats]:
        """At most `most` products with a preconditioner, or without. `rtol`: by default that of
        the options. `start`: see `solve`."""
        options, b = self._options, system.b
        rtol = rtol or options.rtol
        if memory is not None:
            epsilon, precondition = memory.epsilon, memory.preconditioner
        else:
            epsilon, precondition = self._plain_shift(system), None
        # A look makes the host wait, but those of held-out samples decide where a solve ends.
        check_every = 10 if b.is_cuda and memory is None and validation is None else 1
        if options.solver is Solver.LSMR:
            rows = JacobianRows(system.gram.chunks, system.ensemble, system.gram.roots)
            return lsmr(
                rows, system.rows, rtol=rtol, max_steps=most, shift=epsilon,
                preconditioner=precondition, check_every=check_every,
            )  # fmt: skip
        iterate = minres
        if start is not None and memory is not None and validation is None and most > 2:
            iterate = partial(minres_from, start)
        return iterate(
            system.gram, b, rtol=rtol, max_steps=most, shift=epsilon,
            preconditioner=precondition, check_every=check_every,
            early_stopping=None if validation is None else EarlyStopping(quadratic(validation)),
            iteration=system.gram.iteration(b, precondition),
        )  # fmt: skip

    def _plain_shift(self, system: NormalEquations) -> float:
        """ε of a solve without a preconditioner, by power iterations for ‖Ĝ‖ where it is wanted."""
        if not self._options.shift:
            return 0.0
        v = system.b
        for _ in range(_POWER_ITERATIONS):
            v = system.gram.matvec(v / v.norm())
        return self._options.shift * float(v.norm())


def quadratic(system: NormalEquations) -> Callable[[Tensor], float]:
    """q(η) = ½E|Jη|² + ∇F·η over the samples of `system`: least squares but for a constant."""

    def value(eta: Tensor) -> float:
        linear = torch.dot(system.b.double(), eta.double())
        return 0.5 * system.gram.square_norm(eta) - float(linear)

    return value
