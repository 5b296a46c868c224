"""The solve of (Ĝ + εI) η = −∇F, and what one solve leaves to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..krylov import SolveStats, Watched, lsmr, minres
from ..maps import PushForward
from ..metric import (
    Built,
    JacobianRows,
    Preconditioner,
    Preconditioning,
    Subsample,
    build,
    fitting,
    wanted_samples,
)
from ..parallel import Communicator
from .options import Form, PWGFOptions, Solver
from .system import System

_SHIFT = 0.01  # ε/‖Ĝ‖ over rtol: the error of the shift is then about that of the tolerance


@dataclass(frozen=True)
class Memory:
    """What later solves take over. `shift`: ε/‖Ĝ‖, `epsilon`: ε. `least`: products of the first
    solve with this preconditioner, at the θ where it was made; `excess`: what later ones took
    beyond it, all together; `drift`: what the first of them took beyond it, with this
    preconditioner or the one before."""

    built: Built
    preconditioner: Preconditioner
    shift: float
    epsilon: float
    least: int | None = None
    excess: int = 0
    drift: int | None = None

    def after(self, products: int) -> Memory:
        """The memory after a solve."""
        if self.least is None:
            return replace(self, least=products)
        beyond = max(0, products - self.least)
        return replace(
            self,
            excess=self.excess + beyond,
            drift=beyond if self.excess == 0 else self.drift,
        )

    def worn_out(self, cost: float) -> bool:
        """Whether a new preconditioner, at the cost of so many products, pays: this one has taken
        more than that, or will, as the one before did at its second use."""
        if self.least is None:
            return False
        return self.excess >= cost or (self.drift or 0) >= cost


class MetricSolver:
    """Solves on behalf of a method; itself it remembers nothing."""

    def __init__(self, map: PushForward, options: PWGFOptions, communicator: Communicator) -> None:
        self._options, self._communicator = options, communicator
        self.kind = options.preconditioner
        if self.kind is Preconditioning.AUTOMATIC:
            plain = options.form is Form.ENERGY
            self.kind = Preconditioning.NONE if plain else fitting(map)

    def first_shift(self) -> float:
        """ε/‖Ĝ‖ at the start, of a preconditioned solve."""
        if self._options.shift is not None:
            return self._options.shift
        return _SHIFT * self._options.rtol

    def prepare(self, map: PushForward, system: System, memory: Memory | None) -> Memory | None:
        """The memory for a solve at a new state: a preconditioner is made where there is none, or
        where what the present one has cost in products would have paid for a new one."""
        if self.kind is Preconditioning.NONE:
            return None
        if memory is None:
            return self._made(map, system, self.first_shift())
        if not memory.worn_out(memory.built.operations / system.operations):
            return memory
        return replace(self._made(map, system, memory.shift), drift=memory.drift)

    def _made(self, map: PushForward, system: System, shift: float) -> Memory:
        sample = Subsample.of(
            map, system.points, system.samples.sizes, wanted_samples(map), self._communicator
        )
        return self._with_shift(build(sample, self.kind, shift), shift)

    def raised(self, memory: Memory, factor: float) -> Memory:
        """The same with a larger shift, which keeps η smaller."""
        return self._with_shift(memory.built, memory.shift * factor)

    def _with_shift(self, built: Built, shift: float) -> Memory:
        epsilon = shift * built.known.norm
        return Memory(built, built.known.shifted(epsilon, self._options.dtype), shift, epsilon)

    def solve(
        self, system: System, memory: Memory | None, held_out: System | None
    ) -> tuple[Tensor, SolveStats]:
        """η and how the solve ended. `held_out`: the system of other samples, which ends it."""
        options, b = self._options, system.b
        epsilon = (options.shift or 0.0) if memory is None else memory.epsilon
        precondition = None if memory is None else memory.preconditioner
        check_every = 10 if b.is_cuda and memory is None else 1
        if options.solver is Solver.LSMR:
            rows = JacobianRows(
                system.gram.leaves,
                [len(z) for z in system.points],
                system.total,
                self._communicator,
            )
            return lsmr(
                rows, system.rows, rtol=options.rtol, max_steps=options.max_products,
                shift=epsilon, preconditioner=precondition, check_every=check_every,
            )  # fmt: skip
        return minres(
            system.gram, b, rtol=options.rtol, max_steps=options.max_products, shift=epsilon,
            preconditioner=precondition, check_every=check_every,
            watched=None if held_out is None else Watched(quadratic(held_out)),
            graph=self._communicator.capturable,
        )  # fmt: skip


def quadratic(system: System) -> Callable[[Tensor], float]:
    """q(η) = ½E|Jη|² + ∇F·η over the samples of `system`: least squares but for a constant."""

    def value(eta: Tensor) -> float:
        linear = torch.dot(system.b.double(), eta.double())
        return 0.5 * system.gram.square_norm(eta) - float(linear)

    return value
