"""The run file: typed, checked, every key documented. `parsing` reads it, `build` makes objects."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .interactions import Route
from .maps import Features
from .methods import Form

Vector = float | list[float]
Matrix = float | list[float] | list[list[float]]


class _Table(BaseModel):
    # strict: a number is not read from a string or from true and false.
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, frozen=True
    )


# --- energies ---------------------------------------------------------------------------------


class QuadraticTable(_Table):
    """V(x) = ½ (x−mean)ᵀ covariance⁻¹ (x−mean)."""

    kind: Literal["quadratic"]
    factor: float = Field(default=1.0, gt=0)
    """Multiplies the potential."""
    mean: Vector = 0.0
    """A number for all coordinates, or one per coordinate."""
    covariance: Matrix = 1.0
    """A number c for c·I, a list for a diagonal, or a full matrix."""


class RandomQuadraticTable(_Table):
    """V(x) = ½ (x−b)ᵀ A (x−b), A random symmetric positive definite, b ~ N(0, I)."""

    kind: Literal["random-quadratic"]
    factor: float = 1.0
    seed: int = 0
    """Of A and b."""
    smallest: float = Field(default=0.5, gt=0)
    """Least eigenvalue that A may have."""
    largest: float = Field(default=2.0, gt=0)
    """Greatest eigenvalue that A may have."""


class StyblinskiTangTable(_Table):
    """V(x) = factor · Σ (x_j⁴ − 16 x_j² + 5 x_j)."""

    kind: Literal["styblinski-tang"]
    factor: float = 3 / 50


class RosenbrockTable(_Table):
    """V(x) = factor · Σ 10 (x_{k+1} − x_k²)² + (x_k − 1)²."""

    kind: Literal["rosenbrock"]
    factor: float = 3 / 50


class GaussianMixtureTable(_Table):
    """V(x) = −log Σ weight_k exp(−|x − mean_k|²/(2 variance)): an unnormalised target."""

    kind: Literal["gaussian-mixture"]
    factor: float = 1.0
    means: list[list[float]]
    variance: float = 1.0
    weights: list[float] | None = None


class UserPotentialTable(_Table):
    """A torch function (n, d) → (n,) of your own."""

    kind: Literal["user"]
    factor: float = 1.0
    function: str
    """Import path "module:name"."""


class EntropyTable(_Table):
    """β ∫ ρ log ρ: diffusion."""

    kind: Literal["entropy"]
    beta: float = 1.0
    """Diffusion coefficient, not negative."""


class InternalTable(_Table):
    """factor/(m−1) ∫ ρᵐ: the porous medium equation, ∂ₜρ = factor · Δρᵐ."""

    kind: Literal["internal"]
    m: float
    """Exponent, above 1."""
    factor: float = 1.0


class PowerLawTable(_Table):
    """J(x) = |x|^a/a − |x|^b/b; an exponent 0 stands for log|x|."""

    kind: Literal["power-law"]
    a: float = 4.0
    b: float = 2.0


class GaussianKernelTable(_Table):
    """J(x) = −amplitude · exp(−|x|²/(2 width²)): attractive for a positive amplitude."""

    kind: Literal["gaussian-kernel"]
    amplitude: float = 1.0
    width: float = Field(default=1.0, gt=0)


class UserKernelTable(_Table):
    """J(x) = j(|x|²), j a torch function of your own, elementwise."""

    kind: Literal["user-kernel"]
    function: str
    """Import path "module:name"."""


KernelTable = Annotated[
    PowerLawTable | GaussianKernelTable | UserKernelTable, Field(discriminator="kind")
]


class InteractionTable(_Table):
    """factor/2 ∬ J(x−y) ρ(x) ρ(y): every particle moves with −factor · mean of ∇J(x−y) over y."""

    kind: Literal["interaction"]
    kernel: KernelTable
    factor: float = 1.0
    route: Route = Field(default=Route.AUTOMATIC, strict=False)
    """How the sum over pairs is taken: "moments" (exact, even powers only), "pairs" (all, round
    the ring of ranks), "batches" (unbiased estimate), or "automatic"."""
    self_pairs: bool | None = None
    """Whether a particle acts on itself; left out, not where the kernel is singular."""
    batch: int = Field(default=64, ge=2)
    """Members of a random batch."""


EnergyTable = Annotated[
    QuadraticTable
    | RandomQuadraticTable
    | StyblinskiTangTable
    | RosenbrockTable
    | GaussianMixtureTable
    | UserPotentialTable
    | EntropyTable
    | InternalTable
    | InteractionTable,
    Field(discriminator="kind"),
]


# --- start densities --------------------------------------------------------------------------


class GaussianTable(_Table):
    """N(mean, covariance)."""

    kind: Literal["gaussian"] = "gaussian"
    mean: Vector = 0.0
    covariance: Matrix = 1.0


class BarenblattTable(_Table):
    """The self-similar solution of ∂ₜρ = Δρᵐ at a time above 0."""

    kind: Literal["barenblatt"]
    m: float
    time: float = Field(default=1.0, gt=0)
    centre: Vector = 0.0


class ParaboloidTable(_Table):
    """∝ (1 − |z − centre|²/radius²)₊^exponent."""

    kind: Literal["paraboloid"]
    centre: Vector = 0.0
    radius: float = Field(default=1.0, gt=0)
    exponent: float = Field(default=1.0, gt=0)


class BoxTable(_Table):
    """Uniform on a box; with a ramp, convolved with a uniform density of that width."""

    kind: Literal["box"]
    low: Vector = -1.0
    high: Vector = 1.0
    ramp: float = Field(default=0.0, ge=0)
    """Width over which the density falls from flat to 0 at each face. Without one the density
    jumps there, which the force form of a density-dependent energy cannot see."""


def _gaussian_unless_said(value: Any) -> Any:
    return {"kind": "gaussian", **value} if isinstance(value, dict) else value


ComponentTable = Annotated[
    GaussianTable | BarenblattTable | ParaboloidTable | BoxTable, Field(discriminator="kind")
]


class MixtureTable(_Table):
    """A mixture of the other start densities."""

    kind: Literal["mixture"]
    components: list[Annotated[ComponentTable, BeforeValidator(_gaussian_unless_said)]]
    weights: list[float] | None = None
    """Positive, normalised to sum 1; equal when left out."""


StartTable = Annotated[
    GaussianTable | MixtureTable | BarenblattTable | ParaboloidTable | BoxTable,
    Field(discriminator="kind"),
]


class ProblemTable(_Table):
    """∂ₜρ = ∇·(ρ ∇ δF/δρ) from a start density."""

    name: str = "unnamed"
    title: str = ""
    """One line for `hpc-wgf list`."""
    dimension: int = Field(ge=1)
    start_time: float = 0.0
    until: float
    """Time at which the run ends."""
    start: Annotated[StartTable, BeforeValidator(_gaussian_unless_said)] = GaussianTable()
    energy: list[EnergyTable] = Field(min_length=1)


# --- maps -------------------------------------------------------------------------------------


class AffineTable(_Table):
    """z + A z + b."""

    kind: Literal["affine"]


class _TanhTable(_Table):
    features: Features = Field(default=Features.RANDOM, strict=False)
    """Initial directions of the tanh features: random, or along the axes."""
    scale: float = Field(default=1.0, gt=0)
    """Steepness of the initial features."""
    spread: float = Field(default=2.0, ge=0)
    """How far from the centre their kinks lie."""
    centre: Vector = 0.0
    """About which point they lie: best the middle of the start density."""
    seed: int = 0


class PlanarTable(_TanhTable):
    """K layers x + u tanh(w·x + b)."""

    kind: Literal["planar"]
    layers: int = Field(ge=1)


class BlockTable(_TanhTable):
    """x + U tanh(W x + b), `width` features side by side."""

    kind: Literal["block"]
    width: int = Field(ge=1)


class PerceptronTable(_TanhTable):
    """z + a multilayer perceptron with tanh layers of the given widths."""

    kind: Literal["perceptron"]
    widths: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)


class ModuleTable(_Table):
    """Your own torch module, (n, d) → (n, d)."""

    kind: Literal["module"]
    factory: str
    """Import path "module:name" of a class or function that takes the dimension."""
    anchored: bool = False
    """Use z + N_θ(z) − N_θ₀(z), the identity at the start, in place of N_θ(z)."""
    seed: int = 0
    """Of torch's random numbers while the module is made."""


MapTable = Annotated[
    AffineTable | PlanarTable | BlockTable | PerceptronTable | ModuleTable,
    Field(discriminator="kind"),
]


# --- method and output ------------------------------------------------------------------------


class MethodTable(_Table):
    """How the flow of the parameters is computed."""

    samples: int = Field(default=4000, ge=1)
    """Samples of all ranks together."""
    rtol: float = Field(default=1e-4, gt=0, lt=1)
    """MINRES stops at ‖r‖ ≤ rtol ‖b‖."""
    dtype: Literal["float64", "float32"] = "float64"
    scheme: str = "heun"
    """Runge–Kutta scheme: euler, heun, kutta32, bosh32 or rk4."""
    step: float = Field(default=0.05, gt=0)
    """Time step, or with a tolerance the first one."""
    tolerance: Annotated[float, Field(gt=0)] | Literal["none"] | None = None
    """Largest error of a step, as root mean squared movement of the samples, in units of x.
    Leave it out for fixed steps, or say "none" to take away that of a base."""
    form: Form = Field(default=Form.FORCE, strict=False)
    """Gradient of the energy: "force" (consistent with the metric) or "energy"."""
    max_products: int = Field(default=2000, ge=2)
    """Most products with the metric in one solve."""
    seed: int = Field(default=0, ge=0)
    block: int | None = Field(default=None, ge=1)
    """Samples per numbered block; left out, a 1024th of the samples and at least 16."""


class OutputTable(_Table):
    """What is stored."""

    every: float | None = Field(default=None, gt=0)
    """Time between stored rows; left out, a tenth of the run."""
    particles: int | None = Field(default=None, ge=1)
    """Samples of the fixed evaluation sample that is stored; left out, as many as the method's."""
    shards: int | None = Field(default=None, ge=1)
    """Shards of the stored particles, each written by one rank: the most ranks that a resumed
    run can have. Left out, 16, or the number of ranks if that is larger."""


class RunFile(_Table):
    """A whole run."""

    problem: ProblemTable
    map: list[MapTable] = Field(min_length=1)
    """Maps in the order in which they act."""
    method: MethodTable = MethodTable()
    output: OutputTable = OutputTable()
