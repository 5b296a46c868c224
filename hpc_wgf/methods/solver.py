"""The solve of (Ĝ + εI) η = −∇F, and what one solve leaves to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..krylov import SolveStats, Status, Watched, lsmr, minres
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
from .sampling import Samples
from .system import System

_POWER_ITERATIONS = 6
_MOST_EXCESS = 60.0  # products
_SPARED = 1e3  # shifts in the smallest eigenvalue of the metric of an affine map
_SHIFT = 0.01  # ε/‖Ĝ‖ over rtol: the error of the shift is then about that of the tolerance


@dataclass(frozen=True)
class Origin:
    """Where a preconditioner was made: at `theta`, from the samples of `step`, for `shift`."""

    theta: Tensor
    step: int
    shift: float


@dataclass(frozen=True)
class Memory:
    """What later solves take over. `origin`: of the preconditioner. `shift`: ε/‖Ĝ‖, `epsilon`: ε.
    `least`: products of the first solve with this preconditioner, at the θ where it was made;
    `excess`: what later ones took beyond it, all together; `drift`: what the first of them took
    beyond it, with this preconditioner or the one before."""

    origin: Origin
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

    def cost(self, system: System) -> float:
        """What a new preconditioner takes, in products with Ĝ; but never more than plain solves
        take, which an old one may be worse than."""
        return min(self.built.operations / system.operations, _MOST_EXCESS)

    def worn_out(self, cost: float) -> bool:
        """Whether a new preconditioner, at the cost of so many products, pays: this one has taken
        more than that, or will, as the one before did at its second use."""
        if self.least is None:
            return False
        return self.excess >= cost or (self.drift or 0) >= cost


class Solved(NamedTuple):
    """η, how the solve ended, and what it leaves to the next one."""

    eta: Tensor
    stats: SolveStats
    memory: Memory | None


class MetricSolver:
    """Solves on behalf of a method; itself it remembers nothing. `conditioning`: of the start
    density (see `units`)."""

    def __init__(
        self, map: PushForward, options: PWGFOptions, communicator: Communicator,
        conditioning: float = 1.0,
    ) -> None:  # fmt: skip
        self._options, self._communicator = options, communicator
        self._conditioning = conditioning
        self.kind = options.preconditioner
        if self.kind is Preconditioning.AUTOMATIC:
            plain = options.form is Form.ENERGY
            self.kind = Preconditioning.NONE if plain else fitting(map)

    def first_shift(self) -> float:
        """ε/‖Ĝ‖ at the start, of a preconditioned solve."""
        if self._options.shift is not None:
            return self._options.shift
        # An affine motion is damped by ten times rtol at most, whatever the units and origin of x.
        return _SHIFT * self._options.rtol * min(1.0, _SPARED * self._conditioning)

    def solve(
        self, map: PushForward, system: System, memory: Memory | None, held_out: System | None
    ) -> Solved:
        """η of a system, at the map's present parameters. `memory`: of the solve before.
        `held_out`: the system of other samples, which ends the iteration.

        A preconditioner is made where there is none, where making one pays, and where the
        present one turns out to cost more products than a new one would."""
        most = self._options.max_products
        if self.kind is Preconditioning.NONE:
            return Solved(*self._iterate(system, None, held_out, most), None)
        memory = self._prepared(map, system, memory)
        patience = most
        if memory.least is not None:
            patience = min(most, memory.least + 2 + int(memory.cost(system)))
        eta, stats = self._iterate(system, memory, held_out, patience)
        if stats.status is not Status.MAX_STEPS or patience == most:
            return Solved(eta, stats, memory.after(stats.products))
        memory = replace(self._made(map, system, memory.shift), drift=stats.products)
        eta, again = self._iterate(system, memory, held_out, most)
        total = replace(again, products=stats.products + again.products)
        return Solved(eta, total, memory.after(again.products))

    def made_again(
        self, map: PushForward, samples: Samples, origin: Origin, shift: float, *,
        least: int | None, excess: int, drift: int | None,
    ) -> Memory:  # fmt: skip
        """The memory of another process; collective. `samples`: those of the origin's step."""
        map.set_theta(origin.theta)
        built = self.build(map, samples, origin.shift)
        memory = self._with_shift(origin, built, shift)
        return replace(memory, least=least, excess=excess, drift=drift)

    def solve_shifted(self, system: System, memory: Memory, held_out: System | None) -> Solved:
        """The same with a shift ten times as large, which keeps η smaller; `memory`: of the solve
        of this system."""
        memory = self._with_shift(memory.origin, memory.built, 10.0 * memory.shift)
        eta, stats = self._iterate(system, memory, held_out, self._options.max_products)
        return Solved(eta, stats, memory.after(stats.products))

    def relaxed(self, memory: Memory | None) -> Memory | None:
        """The memory for a new step: a raised shift comes down tenfold, at most to the first."""
        if memory is None or memory.shift <= self.first_shift():
            return memory
        shift = max(self.first_shift(), 0.1 * memory.shift)
        lower = self._with_shift(memory.origin, memory.built, shift)
        return replace(lower, least=memory.least, excess=memory.excess, drift=memory.drift)

    def _prepared(self, map: PushForward, system: System, memory: Memory | None) -> Memory:
        if memory is None:
            return self._made(map, system, self.first_shift())
        if not memory.worn_out(memory.cost(system)):
            return memory
        return replace(self._made(map, system, memory.shift), drift=memory.drift)

    def build(self, map: PushForward, samples: Samples, shift: float) -> Built:
        """What this kind of preconditioner knows of Ĝ, from a subsample; collective."""
        sample = Subsample.of(
            map, samples.points, samples.sizes, wanted_samples(map), self._communicator
        )
        return build(sample, self.kind, shift)

    def _made(self, map: PushForward, system: System, shift: float) -> Memory:
        origin = Origin(map.get_theta(), system.samples.step, shift)
        return self._with_shift(origin, self.build(map, system.samples, shift), shift)

    def _with_shift(self, origin: Origin, built: Built, shift: float) -> Memory:
        epsilon = shift * built.known.norm
        preconditioner = built.known.shifted(epsilon, self._options.dtype)
        return Memory(origin, built, preconditioner, shift, epsilon)

    def _iterate(
        self, system: System, memory: Memory | None, held_out: System | None, most: int
    ) -> tuple[Tensor, SolveStats]:
        """At most `most` products with a preconditioner, or without."""
        options, b = self._options, system.b
        if memory is not None:
            epsilon, precondition = memory.epsilon, memory.preconditioner
        else:
            epsilon, precondition = self._plain_shift(system), None
        # A look makes the host wait, but those of held-out samples decide where a solve ends.
        check_every = 10 if b.is_cuda and memory is None and held_out is None else 1
        if options.solver is Solver.LSMR:
            lengths = [len(z) for z in system.points]
            rows = JacobianRows(system.gram.leaves, lengths, system.total, self._communicator)
            return lsmr(
                rows, system.rows, rtol=options.rtol, max_steps=most, shift=epsilon,
                preconditioner=precondition, check_every=check_every,
            )  # fmt: skip
        return minres(
            system.gram, b, rtol=options.rtol, max_steps=most, shift=epsilon,
            preconditioner=precondition, check_every=check_every,
            watched=None if held_out is None else Watched(quadratic(held_out)),
            graph=self._communicator.capturable,
        )  # fmt: skip

    def _plain_shift(self, system: System) -> float:
        """ε of a solve without a preconditioner, by power iterations for ‖Ĝ‖ where it is wanted."""
        if not self._options.shift:
            return 0.0
        v = system.b
        for _ in range(_POWER_ITERATIONS):
            v = system.gram.matvec(v / v.norm())
        return self._options.shift * float(v.norm())


def quadratic(system: System) -> Callable[[Tensor], float]:
    """q(η) = ½E|Jη|² + ∇F·η over the samples of `system`: least squares but for a constant."""

    def value(eta: Tensor) -> float:
        linear = torch.dot(system.b.double(), eta.double())
        return 0.5 * system.gram.square_norm(eta) - float(linear)

    return value
