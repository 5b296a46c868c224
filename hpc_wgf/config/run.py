"""The tables of a whole run: problem, map, method, output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..fields import Number, Unit, Whole, is_plain_text, local_path, unexpected
from ..methods.pwgf import PWGFOptions
from ..output import Output
from ..stages import Stages
from .energies import EnergyTable, build_energy
from .interactions import InteractionTable
from .maps import MapTable
from .methods import MethodOptions
from .motions import DriftTable, MobilityTable, build_motions
from .starts import GaussianTable, StartTable
from .table import Table

if TYPE_CHECKING:
    from ..problems import Density, Problem


_LONGEST_NAME = 200  # File systems allow 255 bytes, endings of stores and their locks included.


def _one_file_name(name: str) -> str:
    plain = is_plain_text(name) and "/" not in name and "\\" not in name
    if not plain or not name.strip(" ."):
        raise unexpected("a name without slashes and control characters, which also names a store")
    if len(name.encode()) > _LONGEST_NAME:
        raise unexpected(f"a name of at most {_LONGEST_NAME} bytes, which also names a store")
    return name


def _without_path(table: Any) -> Any:
    if isinstance(table, dict) and "path" in table:
        raise ValueError("a run file does not say where its store lies: leave path out")
    return table


def with_whole_paths(tables: Any) -> Any:
    """Tables whose files of samples and stores have whole paths."""
    if isinstance(tables, list):
        return [with_whole_paths(each) for each in tables]
    if not isinstance(tables, dict):
        return tables
    whole = {key: with_whole_paths(value) for key, value in tables.items()}
    if tables.get("kind") in ("samples", "run") and tables.get("path") is not None:
        whole["path"] = str(local_path(tables["path"]).absolute())
    return whole


class ProblemTable(Table):
    """∂ₜρ = ∇·(ρ (P ∇ δF/δρ − b)) with a given density at the start time. Where they are left out,
    P = I and b = 0."""

    name: Annotated[str, AfterValidator(_one_file_name)] = "unnamed"
    """Name in reports, and of the store runs/NAME.zarr where no other path is given; without
    slashes."""
    title: str = ""
    """One line on the problem for `hpc-wgf list`."""
    dimension: Annotated[Whole, Field(ge=1)]
    """Dimension d: number of coordinates of x."""
    start_time: Annotated[Number, Unit("time")] = 0.0
    """Time at which the run begins."""
    until: Annotated[Number, Unit("time")]
    """Time at which the run ends."""
    convexity: Annotated[Number, Unit("1/time")] | None = None
    """Number κ such that the energy is κ-convex along geodesics of W₂, for the bound of the error.
    Left out, it is that of the energy where it is known, else the least one seen at samples."""
    periods: Annotated[list[Annotated[Number, Field(ge=0)]], Unit("x")] | None = None
    """Period of every coordinate of x, 0 for none: the start density is wrapped round these
    circles."""
    start: StartTable = GaussianTable()
    """The density at the start time, a table of its own; without `kind` it is a gaussian."""
    energy: Annotated[list[EnergyTable], Field(min_length=1)]
    """Parts of the energy F, a list of tables; F is their sum."""

    mobility: MobilityTable | None = None
    """The mobility P, a table of its own: particles move with −P ∇ δF/δρ. Left out, P = I."""
    drift: DriftTable | None = None
    """A velocity b(x, t) that is added to that of the energy, a table of its own; without `kind` it
    is a function of yours."""

    def build(self, start: Density | None = None) -> Problem:
        """The problem that the table describes. `start`: in place of what `start` describes.

        Errors: `InputError` naming what does not fit."""
        from ..problems import Problem

        return Problem(
            build_energy(self.energy, self.dimension),
            self.start.build(self.dimension) if start is None else start,
            self.until,
            start_time=self.start_time,
            name=self.name,
            convexity=self.convexity,
            periods=self.periods,
            **build_motions(self.mobility, self.drift, self.dimension),
        )


class RunFile(Table):
    """A whole run: what is solved, with which map, how, and what is kept."""

    problem: ProblemTable
    """The equation, its start density and its time span."""
    map: Annotated[list[MapTable], Field(min_length=1)] | None = None
    """The maps whose composition carries the start density, in the order in which they act. Left
    out, they are chosen from the problem."""
    method: MethodOptions = Field(default_factory=PWGFOptions)
    """The method and its options."""
    output: Annotated[Output, BeforeValidator(_without_path)] = Field(default_factory=Output)
    """What is stored of the run."""
    stages: Stages = Field(default_factory=Stages)
    """When the map is frozen and a new one goes on."""

    @model_validator(mode="after")
    def _settled(self) -> Self:
        """With what sums over pairs in place of "automatic", so that a store keeps what it was."""
        for k, part in enumerate(self.problem.energy):
            if isinstance(part, InteractionTable):
                self.problem.energy[k] = part.settled(self.method.samples, self.problem.dimension)
        return self

    def stored(self) -> dict[str, Any]:
        """The tables as a store keeps them. Files of samples have their whole paths, so that the
        run can be resumed and looked at from every working directory."""
        tables: dict[str, Any] = with_whole_paths(self.model_dump(mode="json"))
        return tables

    def ending_at(self, until: float) -> RunFile:
        """The same run with another end time."""
        return self.model_copy(update={"problem": self.problem.model_copy(update={"until": until})})
