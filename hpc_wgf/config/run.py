"""The whole run: problem, map, method, output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ..methods.options import Form, PWGFOptions, Solver
from ..metric import Preconditioning
from .energies import EnergyTable
from .maps import MapTable
from .starts import GaussianTable, StartTable, gaussian_unless_said
from .table import Table


class ProblemTable(Table):
    """∂ₜρ = ∇·(ρ ∇ δF/δρ) from a start density."""

    name: str = Field(default="unnamed", pattern=r"^[^/\\]+$")
    """Also of the store, where no other is given: without slashes."""
    title: str = ""
    """One line for `hpc-wgf list`."""
    dimension: int = Field(ge=1)
    start_time: float = 0.0
    until: float
    """Time at which the run ends."""
    start: Annotated[StartTable, BeforeValidator(gaussian_unless_said)] = GaussianTable()
    energy: list[EnergyTable] = Field(min_length=1)


class MethodTable(Table):
    """How the flow of the parameters is computed."""

    samples: int = Field(default=PWGFOptions.samples, ge=1)
    """Samples of all ranks together."""
    rtol: float = Field(default=PWGFOptions.rtol, gt=0, lt=1)
    """A solve stops at ‖r‖ ≤ rtol ‖b‖."""
    solver: Solver = Field(default=PWGFOptions.solver, strict=False)
    """Krylov solver: minres, or lsmr, which keeps the true residual in single precision."""
    preconditioner: Preconditioning = Field(default=PWGFOptions.preconditioner, strict=False)
    """Of the solves: automatic, none, dense, outputs, kronecker or nystrom."""
    shift: float | None = Field(default=None, ge=0, lt=1)
    """ε/‖Ĝ‖ of the system (Ĝ + εI) η = −∇F; left out, rtol/100 with a preconditioner
    (less where units or origin of x are far from the start density's), else 0."""
    validation: float | None = Field(default=None, gt=0)
    """Size of a second sample, over `samples`, that ends a solve when it gains no more."""
    dtype: Literal["float64", "float32"] = "float64"
    scheme: str = PWGFOptions.scheme
    """Runge–Kutta scheme: euler, heun, kutta32, bosh32, rk4, or the stabilised rkc2."""
    step: float = Field(default=PWGFOptions.step_size, gt=0)
    """Time step, or with a tolerance the first one."""
    tolerance: Annotated[float, Field(gt=0)] | Literal["none"] | None = None
    """Largest error of a step, as root mean squared movement of the samples, in units of x.
    Leave it out for fixed steps, or say "none" to take away that of a base."""
    form: Form = Field(default=PWGFOptions.form, strict=False)
    """Gradient of the energy: "force" (consistent with the metric) or "energy"."""
    max_products: int = Field(default=PWGFOptions.max_products, ge=2)
    """Most products with the metric in one solve."""
    cache_gib: float | None = Field(default=None, gt=0)
    """GiB a rank that products may keep; what does not fit is computed anew. Left out, 2, on a GPU
    a quarter of its memory."""
    tf32: bool = PWGFOptions.tf32
    """Whether float32 products on a GPU may round to ten bits (TensorFloat-32)."""
    seed: int = Field(default=PWGFOptions.seed, ge=0)
    block: int | None = Field(default=None, ge=1)
    """Samples per numbered block; left out, a 1024th of the samples and at least 16."""


class OutputTable(Table):
    """What is stored."""

    every: float | None = Field(default=None, gt=0)
    """Time between stored rows; left out, a tenth of the run."""
    particles: int | None = Field(default=None, ge=1)
    """Samples of the fixed evaluation sample that is stored; left out, as many as the method's."""
    shards: int | None = Field(default=None, ge=1)
    """Shards of the stored particles, each written by one rank: the most ranks that a resumed
    run can have. Left out, 16, or the number of ranks if that is larger."""


class RunFile(Table):
    """A whole run."""

    problem: ProblemTable
    map: list[MapTable] = Field(min_length=1)
    """Maps in the order in which they act."""
    method: MethodTable = MethodTable()
    output: OutputTable = OutputTable()
