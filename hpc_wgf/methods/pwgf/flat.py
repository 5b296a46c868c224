"""The flat gradient flow θ' = −∇F, which ignores the geometry of the map [PFPE Fig. 16]."""

from __future__ import annotations

from torch import Tensor

from ...choices import Preconditioning
from ...krylov import SolveStats, Status
from ...maps import PushForward
from .normal_equations import NormalEquations
from .solver import Solved
from .solver_memory import Memory


class FlatSolver:
    """η = b: there is nothing to solve."""

    kind = Preconditioning.NONE

    def solve(
        self, map: PushForward, system: NormalEquations, memory: Memory | None,
        validation: NormalEquations | None, start: Tensor | None = None,
    ) -> Solved:  # fmt: skip
        """η of a system."""
        return Solved(*self.iterate(map, system, memory), None)

    def iterate(
        self, map: PushForward, system: NormalEquations, memory: Memory | None, *, rtol: float = 0.0
    ) -> tuple[Tensor, SolveStats]:
        """η of a further system."""
        return system.b.clone(), SolveStats(Status.CONVERGED, 0, 0.0, 0.0)

    def decrease_damping(self, memory: Memory | None) -> Memory | None:
        """None: nothing is damped."""
        return None
