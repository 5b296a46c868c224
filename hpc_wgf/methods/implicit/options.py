"""How the method of implicit steps is run: the table `[method]` with kind = "implicit"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic.dataclasses import dataclass

from ...choices import (
    Forward,
    ImplicitSteps,
    Precision,
    Proposal,
    Redraw,
    Sampling,
    Stream,
    ToleranceUnit,
)
from ...errors import InputError
from ...fields import OPTIONS, Number, Unit, Whole, plain_errors
from ..pwgf.options import PWGFOptions
from ..step_options import Computing, DType, Tolerance, step_controller

if TYPE_CHECKING:
    from ...integrators import Controller
    from ..base import Setting
    from . import Implicit

_OF_TOLERANCE = 1e-2
_OF_LINEAR, _OF_ANY = 1e-8, 1e-3  # rtol of a stage by the map
_OF_FLOAT32 = 1e-4
_PRODUCTS = 2000  # in one solve


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class ImplicitOptions(Computing):
    """How steps T_k → T_{k+1} are found whose length the stiffness of the flow does not bound: as
    minimisers of E|T − Y|²/2τ + F(T#λ) among the maps T_θ.

    Errors: `InputError`, one line a wrong value.
    """

    samples: Annotated[Whole, Field(ge=1)] = 4000
    """Number n of samples in every step, of all ranks together."""
    scheme: ImplicitSteps = ImplicitSteps.SDIRK2
    """Scheme in time: "sdirk2", of order two and with an estimate of its error, or "euler", which
    is the JKO scheme."""
    step_size: Annotated[Number, Field(gt=0), Unit("time")] = Field(
        default=0.05,
        validation_alias=AliasChoices("step", "step_size"),
        serialization_alias="step",
    )
    """Time step, or with a tolerance the most that the first one may be."""
    tolerance: Annotated[Tolerance, Unit("displacement or x")] = None
    """Largest error of a step, as root mean squared movement of the samples. Left out, steps are
    fixed; "none" in a run file takes away that of a base."""
    rtol: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """A stage is solved once a correction moves the samples by rtol of what the stage has moved
    them. Left out, a hundredth of the tolerance; without one 1e-8, or 1e-3 for maps that are not
    linear in θ, of which samples determine less."""
    forward: Forward = Forward.NONE
    """What is taken explicitly, by forward-backward splitting: "none", or "interactions"."""
    max_iterations: Annotated[Whole, Field(ge=1)] = 50
    """Most corrections in a stage."""
    dtype: DType = Precision.FLOAT64
    """Floating-point numbers of map and samples: "float64" or "float32". Sums over samples are in
    float64 always."""
    seed: Annotated[Whole, Field(ge=0)] = 0
    """Of all samples."""
    block: Annotated[Whole, Field(ge=1)] | None = None
    """Samples per numbered block, which one rank draws as a whole. Left out, a 1024th of the
    samples and at least 16."""
    cache_gib: Annotated[Number, Field(gt=0), Unit("GiB")] | None = None
    """What a rank may keep for products; what does not fit is computed anew. Left out, 2, on a GPU
    a quarter of its memory."""
    growth: Annotated[Number, Field(gt=1)] = Field(default=2.0, kw_only=True)
    """Largest factor by which a step with a tolerance may be longer than the one before."""
    sampling: Sampling = Field(default=Sampling.RANDOM, kw_only=True)
    """How samples are drawn: "random", or "sobol" for scrambled Sobol points."""
    # Not in the description, in which stores tell of it only where it is "philox".
    stream: Stream = Field(default=Stream.NUMPY, kw_only=True, repr=False)
    """Random numbers of samples: "numpy", drawn on the host, or "philox", a counter-based stream
    that is the same on CPUs and GPUs, for starts with an inverse transform; on a GPU the faster."""
    proposal: Proposal = Field(default=Proposal.AUTOMATIC, kw_only=True)
    """Density from which samples are drawn: "auto", with importance weights where an internal
    energy meets a peaked start density, or "none" for the start density."""
    tolerance_unit: ToleranceUnit = Field(default=ToleranceUnit.DISPLACEMENT, kw_only=True)
    """Of the tolerance: "displacement", so that it is relative to how far the samples have come
    since the start, or "x", the absolute unit of x."""
    redraw: Redraw = Field(default=Redraw.STEP, kw_only=True)
    """When samples are drawn anew: for every "step", for every "stage" of the map, or
    once for the whole "run"."""
    kind: Literal["implicit"] = Field(default="implicit", kw_only=True)
    """The method: implicit steps."""

    def __post_init__(self) -> None:
        if self.tolerance is not None and self.scheme is ImplicitSteps.EULER:
            raise InputError(
                'scheme = "euler" has no error estimate to hold to a tolerance: use "sdirk2", or '
                "leave method.tolerance out"
            )
        least = 1e-13 if self.dtype == Precision.FLOAT64 else 1e-6
        if self.stage_length is None and least > (rtol := self.stage_rtol(linear=True)):
            raise InputError(
                f"method.rtol = {rtol:g} of a stage is below what {self.dtype} resolves"
                f": give {least:g} or more"
            )

    @property
    def stage_length(self) -> float | None:
        """The movement, in the unit of x, at which a stage is solved: of a tolerance in that unit.
        None where `stage_rtol` says it."""
        absolute = self.tolerance_unit is ToleranceUnit.X and self.rtol is None
        return _OF_TOLERANCE * self.tolerance if absolute and self.tolerance is not None else None

    def stage_rtol(self, *, linear: bool) -> float:
        """`rtol`, or what stands for it. `linear`: whether the map is linear in θ."""
        if self.rtol is not None:
            return self.rtol
        if self.tolerance is not None:
            return _OF_TOLERANCE * self.tolerance
        if not linear:
            return _OF_ANY
        return _OF_LINEAR if self.dtype == Precision.FLOAT64 else _OF_FLOAT32

    @property
    def of_flow(self) -> PWGFOptions:
        """How the velocity of the flow is found on the samples of these options, which the report
        and the bound of the error ask for; with as many samples held out."""
        return PWGFOptions(
            samples=self.samples, scheme="euler", step_size=self.step_size, dtype=self.dtype,
            seed=self.seed, block=self.block, cache_gib=self.cache_gib, sampling=self.sampling,
            proposal=self.proposal, redraw=self.redraw, stream=self.stream,
        )  # fmt: skip

    def bind(self, setting: Setting) -> Implicit:
        """The method at work. Errors: `InputError` where it cannot solve the problem."""
        from . import Implicit

        return Implicit(setting, self)

    def controller(self, spread: float) -> Controller:
        """The step-size controller that the tolerance asks for. `spread`: (E|z − E[z]|²)^½ of the
        start density, in units of x."""
        from .scheme import SCHEMES

        order = SCHEMES[self.scheme].error_order
        return step_controller(self.tolerance, order, self.tolerance_unit, self.growth, spread)
