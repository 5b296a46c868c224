"""How the primal–dual method is run: the table `[method]` with kind = "primal-dual"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ...fields import OPTIONS, Number, Whole, plain_errors
from ..training.options import TrainingOptions

if TYPE_CHECKING:
    from ..base import Setting
    from . import PrimalDual


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class PrimalDualOptions(TrainingOptions):
    """How JKO steps min_T E|T − Y|²/2τ + sup_h {E[𝒜(h)(T)] − E_Γ[ℬ(h)]} are taken, by Adam on a map
    and on a network for h in turn. They need no density of the start and no score; interactions are
    taken forward.

    Errors: `InputError`, one line a wrong value.
    """

    samples: Annotated[Whole, Field(ge=1)] = 1000
    """Number n of samples in every iteration, new ones each time, of all ranks together."""
    dual_steps: Annotated[Whole, Field(ge=1)] = Field(default=3, kw_only=True)
    """Steps of h in an iteration, before the one of the map."""
    width: Annotated[Whole, Field(ge=1)] = Field(default=64, kw_only=True)
    """Neurons in every hidden layer of the network for h."""
    depth: Annotated[Whole, Field(ge=1)] = Field(default=3, kw_only=True)
    """Its hidden layers."""
    log_range: Annotated[Number, Field(gt=0, le=50)] = Field(default=10.0, kw_only=True)
    """The bound of |log h|, without which h would grow where Γ has no samples."""
    margin: Annotated[Number, Field(gt=0)] = Field(default=1.0, kw_only=True)
    """Of the box on which Γ is uniform, for internal energies: how much wider it is than the
    samples at the start of a step, as a share. Samples must not leave it in the step."""
    kind: Literal["primal-dual"] = Field(default="primal-dual", kw_only=True)
    """The method: JKO steps by two networks."""

    @property
    def numbered_block(self) -> int:
        """Samples of a numbered block: by default a 16th of the samples, as there are new ones in
        every iteration."""
        return self.block or max(1, -(-self.samples // 16))

    def bind(self, setting: Setting) -> PrimalDual:
        """The method at work. Errors: `InputError` where it cannot solve the problem."""
        from . import PrimalDual

        return PrimalDual(setting, self)
