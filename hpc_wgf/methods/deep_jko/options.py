"""How Deep JKO is run: the table `[method]` with kind = "deep-jko"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic.dataclasses import dataclass

from ...choices import Decay, Redraw, VelocityKind
from ...fields import OPTIONS, Number, Unit, Whole, plain_errors
from ..training import TrainingOptions

if TYPE_CHECKING:
    from ...integrators import Controller
    from ...maps import VelocityFlow
    from ..base import Setting
    from . import DeepJKO


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class DeepJKOOptions(TrainingOptions):
    """How steps ρ_k → ρ_{k+1} are found as flows of a velocity network v(τ, x), 0 ≤ τ ≤ 1, that
    minimises E∫vᵀP⁻¹v dτ/2h + F(ρ_{k+1}). Every step is a stage of the map, and has a row; the maps
    of the run file have no part in it.

    Errors: `InputError`, one line a wrong value.
    """

    step_size: Annotated[Number, Field(gt=0), Unit("time")] = Field(
        default=0.025,
        validation_alias=AliasChoices("step", "step_size"),
        serialization_alias="step",
    )
    """Time step, of first order."""
    velocity: VelocityKind = Field(default=VelocityKind.BLOCK, kw_only=True)
    """Network of the velocity: "block", a linear part and a layer of features; "potential", the
    same as a gradient; or "residual", the gradient of a network of several layers."""
    width: Annotated[Whole, Field(ge=1)] = Field(default=32, kw_only=True)
    """Features of a layer."""
    layers: Annotated[Whole, Field(ge=1)] = Field(default=2, kw_only=True)
    """Layers of a "residual" network."""
    flow_steps: Annotated[Whole, Field(ge=1)] = Field(default=1, kw_only=True)
    """Steps of the classical Runge–Kutta method in τ."""
    iterations: Annotated[Whole, Field(ge=1)] = Field(default=100, kw_only=True)
    """Iterations in every step, on all samples."""
    learning_rate: Annotated[Number, Field(gt=0)] = Field(default=0.1, kw_only=True)
    """Largest learning rate of Adam, for a velocity in units of that of the step before."""
    decay: Decay = Field(default=Decay.ONE_CYCLE, kw_only=True)
    """The learning rate over the iterations of a step: "constant", "cosine", or "one-cycle"."""
    clip: Annotated[Number, Field(gt=0)] | None = Field(default=10.0, kw_only=True)
    """Largest norm of a gradient, beyond which it is scaled down."""
    redraw: Redraw = Field(default=Redraw.RUN, kw_only=True)
    """When samples are drawn anew: for every "step", which is a "stage" here, or once for the whole
    "run", so that stages carry them."""
    kind: Literal["deep-jko"] = Field(default="deep-jko", kw_only=True)
    """The method: Deep JKO."""

    def own_map(self, dimension: int) -> VelocityFlow:
        """The map of the first step, at rest."""
        from ...maps import VelocityFlow, rebuilt_network

        size = {"dimension": dimension, "width": self.width, "layers": self.layers, "linear": True}
        network = rebuilt_network({"kind": self.velocity.value, **size})
        # Whatever precision torch makes parameters in: features are laid out in this one.
        return VelocityFlow(network, self.flow_steps).to(self.torch_dtype)

    def bind(self, setting: Setting) -> DeepJKO:
        """The method at work. Errors: `InputError` where it cannot solve the problem."""
        from . import DeepJKO

        return DeepJKO(setting, self)

    def controller(self) -> Controller:
        """Steps are fixed."""
        from ...integrators import FixedStep

        return FixedStep()
