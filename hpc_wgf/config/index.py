"""All tables of run files by their place in the file, and the keys of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from ..output import Output
from ..stages import Stages
from .energies import EnergyTable
from .interactions import KernelTable
from .maps import MapTable
from .methods import METHODS
from .motions import DriftTable, MobilityTable
from .run import ProblemTable, RunFile
from .starts import StartTable

__all__ = ["KINDS", "TABLES", "Key", "keys_of", "same_keys", "table_at", "tables_of"]


@dataclass(frozen=True)
class Key:
    """A key of a table of a run file."""

    name: str
    """The name that run files use."""
    other_names: tuple[str, ...]
    """Further names of the same key."""
    field: FieldInfo
    """pydantic's field: type, default and unit."""
    attribute: str
    """The name of the field in Python."""


def keys_of(table: type[Any]) -> dict[str, Key]:
    """The keys of a table (a model or a dataclass of pydantic) by name, in their order there."""
    fields: dict[str, FieldInfo] = getattr(table, "__pydantic_fields__", {})
    keys = (_key(name, field) for name, field in fields.items() if not field.exclude)
    return {key.name: key for key in keys}


def _key(name: str, field: FieldInfo) -> Key:
    alias = field.validation_alias
    names = [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [name]
    return Key(names[0], tuple(names[1:]), field, name)


def tables_of(union: Any) -> dict[str, type[Any]]:
    """The tables of a union whose members are told apart by the key `kind`, by their kind."""
    tables = get_args(get_args(union)[0])
    return {get_args(table.model_fields["kind"].annotation)[0]: table for table in tables}


def _all() -> Iterator[tuple[str, type[Any]]]:
    yield "problem", ProblemTable
    for place, kinds in (
        ("problem.start", tables_of(StartTable)),
        ("problem.energy", tables_of(EnergyTable)),
        ("problem.mobility", tables_of(MobilityTable)),
        ("problem.drift", tables_of(DriftTable)),
        ("problem.energy.interaction.kernel", tables_of(KernelTable)),
        ("map", tables_of(MapTable)),
        ("method", METHODS),
    ):
        for kind, table in kinds.items():
            yield f"{place}.{kind}", table
    yield "output", Output
    yield "stages", Stages


TABLES = dict(_all())
"""Every table by its place; where several kinds are possible it ends with one: `map.block`."""

KINDS = {place.rpartition(".")[2] for place in TABLES if "." in place}
"""The kinds of all tables."""


def table_at(place: str) -> type[Any]:
    """The table at a place of `TABLES`, or `RunFile` where there is none.

    A density from which samples are drawn, and a component of a mixture, count as start densities.
    """
    place = place.replace("energy.samples.draw_from.", "start.")
    return TABLES.get(place.replace("start.mixture.components.", "start."), RunFile)


def same_keys() -> dict[str, str]:
    """Every further name of an option of a method, with the first name of that option."""
    keys = [key for table in METHODS.values() for key in keys_of(table).values()]
    return {other: key.name for key in keys for other in key.other_names}
