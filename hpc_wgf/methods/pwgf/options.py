"""How PWGF is run: the options in Python, which are also the table `[method]` of a run file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field
from pydantic.dataclasses import dataclass

from ...choices import (
    Form,
    Metric,
    Precision,
    Preconditioning,
    Proposal,
    Redraw,
    Sampling,
    Solver,
    Stream,
    ToleranceUnit,
)
from ...errors import InputError
from ...fields import OPTIONS, Flag, Number, Unit, Whole, plain_errors, unexpected
from ..step_options import Computing, DType, Tolerance, step_controller
from .metric_choice import MetricChoice

if TYPE_CHECKING:
    from ...integrators import Controller
    from ...maps import PushForward
    from ..base import Setting
    from . import PWGF

_FEWEST_VALIDATION = 32
_MOST_PROJECTED = 1024  # parameters up to which G_ε, another at every state, is factored unasked


def _known_scheme(name: str) -> str:
    from ...integrators import SCHEMES

    if name not in SCHEMES:
        raise unexpected(f"one of {', '.join(SCHEMES)}")
    return name


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class PWGFOptions(Computing, MetricChoice):
    """How the flow of the parameters θ is computed: Ĝ(θ) θ' = −∇F(θ) by projection onto the
    tangent space of the map, at samples of the start density.

    Errors: `InputError`, one line a wrong value.
    """

    samples: Annotated[Whole, Field(ge=1)] = 4000
    """Number n of samples in every step, of all ranks together."""
    rtol: Annotated[Number, Field(gt=0, lt=1)] = 1e-4
    """A solve stops at ‖r‖ ≤ rtol ‖b‖."""
    scheme: Annotated[str, AfterValidator(_known_scheme)] = "heun"
    """Scheme in time: euler, heun, kutta32, bosh32, rk4, the stabilised rkc2, or the linearly
    implicit ros2 (maps that are linear in θ)."""
    step_size: Annotated[Number, Field(gt=0), Unit("time")] = Field(
        default=0.05,
        validation_alias=AliasChoices("step", "step_size"),
        serialization_alias="step",
    )
    """Time step, or with a tolerance the first one."""
    tolerance: Annotated[Tolerance, Unit("displacement or x")] = None
    """Largest error of a step, as root mean squared movement of the samples. Left out, steps are
    fixed; "none" in a run file takes away that of a base."""
    form: Form = Form.FORCE
    """Gradient of the energy: "force" (in the range of the metric), "energy", or "weak" for starts
    with a jump or without a known density."""
    max_products: Annotated[Whole, Field(ge=2)] = 2000
    """Most products with the metric in one solve."""
    dtype: DType = Precision.FLOAT64
    """Floating-point numbers of map and samples: "float64" or "float32", in Python also
    `torch.float64` or `torch.float32`. Sums over samples are in float64 always."""
    seed: Annotated[Whole, Field(ge=0)] = 0
    """Of all samples."""
    block: Annotated[Whole, Field(ge=1)] | None = None
    """Samples per numbered block, which one rank draws as a whole. Left out, a 1024th of the
    samples and at least 16."""
    solver: Solver = Solver.AUTOMATIC
    """Of the solves: automatic, direct (maps that are linear in θ), minres, or lsmr, which keeps
    the true residual in single precision."""
    preconditioner: Preconditioning = Preconditioning.AUTOMATIC
    """Of the solves: automatic, none, dense, layers, outputs, kronecker or nystrom."""
    shift: Annotated[Number, Field(ge=0, lt=1), Unit("‖Ĝ‖")] | None = None
    """ε of the system (Ĝ + εI) η = −∇F. Left out, rtol/100 with a preconditioner (less where units
    or origin of x are far from the start density's), else 0."""
    validation: Annotated[Number, Field(gt=0, le=1000), Unit("samples")] | None = None
    """Size of a second sample, over `samples`, that ends a solve when it gains no more there."""
    cache_gib: Annotated[Number, Field(gt=0), Unit("GiB")] | None = None
    """What a rank may keep for products; what does not fit is computed anew. Left out, 2, on a GPU
    a quarter of its memory."""
    tf32: Flag = False
    """Whether float32 products on a GPU may round to ten bits (TensorFloat-32)."""
    growth: Annotated[Number, Field(gt=1)] = Field(default=3.0, kw_only=True)
    """Largest factor by which a step with a tolerance may be longer than the one before."""
    sampling: Sampling = Field(default=Sampling.RANDOM, kw_only=True)
    """How samples are drawn: "random", or "sobol" for scrambled Sobol points."""
    # Stores that were written before there was a choice are recognised by their descriptions.
    stream: Stream = Field(default=Stream.NUMPY, kw_only=True, repr=False)
    """Random numbers of samples: "numpy", drawn on the host, or "philox", a counter-based stream
    that is the same on CPUs and GPUs, for starts with an inverse transform; on a GPU the faster."""
    proposal: Proposal = Field(default=Proposal.AUTOMATIC, kw_only=True)
    """Density from which samples are drawn: "auto", with importance weights where an internal
    energy meets a peaked start density and, in the energy form, where it is wrapped round circles;
    or "none" for the start density."""
    tolerance_unit: ToleranceUnit = Field(default=ToleranceUnit.DISPLACEMENT, kw_only=True)
    """Of the tolerance: "displacement", so that it is relative to how far the samples have come
    since the start, or "x", the absolute unit of x."""
    redraw: Redraw = Field(default=Redraw.STEP, kw_only=True)
    """When samples are drawn anew: for every "step", for every "stage" of the map, or
    once for the whole "run"."""
    accuracy: Annotated[Number, Field(gt=0, lt=1), Unit("displacement")] | None = Field(
        default=None, kw_only=True
    )
    """Error of the map that is wanted. Samples, rtol and tolerance, and the deformation that ends a
    stage, are then found by pilot runs in place of those that are given; the report says which."""
    # Stores that were written before these are recognised by their descriptions: see `later`.
    metric: Metric = Field(default=Metric.PULLBACK, kw_only=True, repr=False)
    """In which θ descends: "pullback" (Ĝ), "gradient" (G_ε, in which motions that leave the density
    as it is count ε), or "flat" (θ' = −∇F, for comparison)."""
    epsilon: Annotated[Number, Field(ge=0, le=1)] = Field(default=0.1, kw_only=True, repr=False)
    """ε of the metric "gradient": what of the motions that are no gradients counts; 1 is Ĝ."""
    functions: Annotated[Whole, Field(ge=2)] | None = Field(default=None, kw_only=True, repr=False)
    """Number q of functions whose gradients serve the metric "gradient", the form "weak" and
    `gradient_error`. Left out, a 20th of the samples, at most 200."""
    gradient_error: Flag = Field(default=False, kw_only=True, repr=False)
    """Whether δ_G, the part of the projection error that is a gradient, is told at stored rows with
    the metric "pullback" too."""
    kind: Literal["pwgf"] = Field(default="pwgf", kw_only=True)
    """The method: parameterised Wasserstein gradient flow."""

    def __post_init__(self) -> None:
        self._check_scheme()
        self._check_solver()
        self.check_metric()
        if self.validation is not None and self.validation_samples < _FEWEST_VALIDATION:
            raise InputError(
                f"validation = {self.validation:g} of {self.samples} samples gives "
                f"{self.validation_samples}, which tell nothing of a solve: give at least "
                f"{_FEWEST_VALIDATION}"
            )

    def _check_scheme(self) -> None:
        from ...integrators import SCHEMES

        if self.tolerance is not None and SCHEMES[self.scheme].error_order is None:
            with_error = [name for name, each in SCHEMES.items() if each.error_order is not None]
            raise InputError(
                f"scheme = {self.scheme!r} has no error estimate to hold to a tolerance: use one "
                f"of {', '.join(with_error)}, or leave method.tolerance out"
            )

    def _check_solver(self) -> None:
        from ...krylov import check_rtol

        check_rtol(self.rtol, self.torch_dtype)
        direct, lsmr = self.solver is Solver.DIRECT, self.solver is Solver.LSMR
        if direct and self.preconditioner is not Preconditioning.AUTOMATIC:
            raise InputError(
                f"preconditioner {self.preconditioner.value} is for solves by products, and solver "
                "direct has none: leave one of them out"
            )
        if lsmr and self.form is Form.ENERGY:
            raise InputError(
                "solver lsmr needs −∇F in the form Jᵀf/n, which the energy form has not: use "
                'method.form = "force", or method.solver = "minres"'
            )
        if (direct or lsmr) and self.validation is not None:
            raise InputError(
                "validation samples end solves by minres only: leave them out, or use that solver"
            )

    def solves_directly(self, map: PushForward, *, coupled: bool = False) -> bool:
        """Whether the solves for a map are direct. `coupled`: whether a mobility couples all
        coordinates, whose features then form one matrix. Errors: `InputError` where they cannot
        be as wanted, by `solver` or by an implicit `scheme`."""
        from ...integrators import SCHEMES
        from ...metric import MOST_FEATURES

        if self.metric is Metric.FLAT:
            return False
        # The projection onto gradients couples all coordinates.
        projected = self.metric is Metric.GRADIENT and map.dimension > 1
        coupled = coupled or projected
        implicit = SCHEMES[self.scheme].implicit
        if self.solver is Solver.DIRECT or implicit:
            wanted = f"scheme {self.scheme}" if implicit else "solver direct"
            if self.solver not in (Solver.DIRECT, Solver.AUTOMATIC) or not self._may_be_direct:
                raise InputError(
                    f"{wanted} solves directly, without Krylov method, preconditioner and "
                    "validation samples: leave method.solver, preconditioner and validation out"
                )
            sizes = map.features_and_coordinates()
            if sizes is None:
                raise InputError(
                    f"{wanted} needs a map that is linear in its parameters, as an affine map, "
                    "splines or gates alone: use such a map, or another "
                    f"{'scheme (rkc2 for stiff flows)' if implicit else 'solver'}"
                )
            size = sizes[0] * (sizes[1] if implicit else 1)
            if coupled:
                size = map.parameter_count()
            if size > MOST_FEATURES:
                raise InputError(
                    f"{wanted} factors matrices of the map's features, here of {size} rows, and "
                    f"does so up to {MOST_FEATURES}: use another "
                    f"{'scheme' if implicit else 'solver'}"
                )
            return True
        if self.solver is not Solver.AUTOMATIC or not self._may_be_direct:
            return False
        sizes = map.features_and_coordinates()
        if sizes is None or sizes[0] > self.samples:
            return False
        most = _MOST_PROJECTED if projected else MOST_FEATURES
        return (map.parameter_count() if coupled else sizes[0]) <= most

    @property
    def _may_be_direct(self) -> bool:
        return self.preconditioner is Preconditioning.AUTOMATIC and self.validation is None

    @property
    def validation_samples(self) -> int:
        """Samples of the second set, which ends solves."""
        return max(1, round(self.samples * (self.validation or 0.0)))

    def bind(self, setting: Setting) -> PWGF:
        """PWGF at work. Errors: `InputError` where it cannot solve the problem."""
        from . import PWGF

        return PWGF(setting, self)

    def controller(self, spread: float) -> Controller:
        """The step-size controller that the tolerance asks for. `spread`: (E|z − E[z]|²)^½ of the
        start density, in units of x."""
        from ...integrators import SCHEMES

        order = SCHEMES[self.scheme].error_order
        return step_controller(self.tolerance, order, self.tolerance_unit, self.growth, spread)
