"""The whole run: problem, map, method, output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ..fields import Number, Unit, Whole, unexpected
from ..methods.pwgf import PWGFOptions
from ..output import Output
from .energies import EnergyTable, build_energy
from .maps import MapTable
from .methods import MethodOptions
from .starts import GaussianTable, StartTable
from .table import Table

if TYPE_CHECKING:
    from ..problems import Problem


def _one_file_name(name: str) -> str:
    if not name or "/" in name or "\\" in name:
        raise unexpected("a name without slashes, which also names a store")
    return name


def _without_path(table: Any) -> Any:
    if isinstance(table, dict) and "path" in table:
        raise ValueError("a run file does not say where its store lies: leave path out")
    return table


class ProblemTable(Table):
    """∂ₜρ = ∇·(ρ ∇ δF/δρ) from a start density."""

    name: Annotated[str, AfterValidator(_one_file_name)] = "unnamed"
    """Also of the store, where no other is given: without slashes."""
    title: str = ""
    """One line for `hpc-wgf list`."""
    dimension: Annotated[Whole, Field(ge=1)]
    """Number d of coordinates of x."""
    start_time: Annotated[Number, Unit("time")] = 0.0
    """Time at which the run begins."""
    until: Annotated[Number, Unit("time")]
    """Time at which the run ends."""
    start: StartTable = GaussianTable()
    """The start density, a table of its own; gaussian unless its kind is said."""
    energy: Annotated[list[EnergyTable], Field(min_length=1)]
    """Parts of the energy F, a list of tables, which are added up."""

    def build(self) -> Problem:
        """The problem. Errors: `InputError` naming what does not fit."""
        from ..problems import Problem

        return Problem(
            build_energy(self.energy, self.dimension),
            self.start.build(self.dimension),
            self.until,
            start_time=self.start_time,
            name=self.name,
        )


class RunFile(Table):
    """A whole run."""

    problem: ProblemTable
    """What is solved."""
    map: Annotated[list[MapTable], Field(min_length=1)]
    """Maps in the order in which they act."""
    method: MethodOptions = Field(default_factory=PWGFOptions)
    """How it is solved."""
    output: Annotated[Output, BeforeValidator(_without_path)] = Field(default_factory=Output)
    """What is stored."""

    def ending_at(self, until: float) -> RunFile:
        """The same run to another time."""
        return self.model_copy(update={"problem": self.problem.model_copy(update={"until": until})})
