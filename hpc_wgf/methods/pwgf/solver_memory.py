"""What one solve leaves to the next: its preconditioner, and what that has cost since."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ...metric import Preconditioner, PreconditionerBuild
from .normal_equations import NormalEquations

_MOST_EXTRA = 60.0  # products


@dataclass(frozen=True)
class Origin:
    """Where a preconditioner was made."""

    theta: Tensor
    """θ there, (p,)."""
    step: int
    """Whose samples it was made from."""
    shift: float
    """ε/‖Ĝ‖ for which it was made."""


@dataclass(frozen=True)
class Memory:
    """What later solves take over."""

    origin: Origin
    """Of the preconditioner."""
    built: PreconditionerBuild
    """What it was made from."""
    preconditioner: Preconditioner
    """For the present shift."""
    shift: float
    """ε/‖Ĝ‖."""
    epsilon: float
    """ε."""
    first_count: int | None = None
    """Products of the first solve with this preconditioner, at the θ where it was made."""
    extra_total: int = 0
    """Products that later solves took beyond that, all together."""
    second_extra: int | None = None
    """What the first of them took beyond it, with this preconditioner or the one before."""

    def after(self, products: int) -> Memory:
        """The memory after a solve."""
        if self.first_count is None:
            return replace(self, first_count=products)
        beyond = max(0, products - self.first_count)
        return replace(
            self,
            extra_total=self.extra_total + beyond,
            second_extra=beyond if self.extra_total == 0 else self.second_extra,
        )

    def cost(self, system: NormalEquations) -> float:
        """What a new preconditioner takes, in products with Ĝ; but never more than plain solves
        take, which an old one may be worse than."""
        return min(self.built.operations / system.operations, _MOST_EXTRA)

    def worn_out(self, cost: float) -> bool:
        """Whether a new preconditioner, at the cost of so many products, pays: this one has taken
        more than that, or will, as the one before did at its second use."""
        if self.first_count is None:
            return False
        return self.extra_total >= cost or (self.second_extra or 0) >= cost
