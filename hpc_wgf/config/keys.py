"""Every key of run files: type, default, unit and description, as the tables declare them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError
from ..fields import nearest
from .index import TABLES, keys_of
from .run import RunFile
from .schema import table_schema

_TOP = "top"  # the place of the run file itself, whose keys are tables


@dataclass(frozen=True)
class DescribedKey:
    """A key of a run file, described in words."""

    name: str
    """The name that run files use."""
    other_names: tuple[str, ...]
    """Further names of the same key."""
    type: str
    """What its value may be, e.g. "whole number ≥ 1"."""
    default: Any
    """The default as JSON has it; None where there is none, and `description` then says what
    happens if the key is left out."""
    required: bool
    """Whether the table must have it, in a run file without base."""
    unit: str | None
    """The unit; None for a number without unit and for a value that is not a number."""
    description: str
    """What the key means."""

    @property
    def default_text(self) -> str | None:
        """The default as one would write it in a run file; None where there is none to write."""
        if self.required or self.default is None or isinstance(self.default, dict):
            return None
        return json.dumps(self.default, ensure_ascii=False)

    @property
    def default_words(self) -> str:
        """The default in words: "required", "default 4000" or "may be left out"."""
        if self.required:
            return "required"
        return f"default {text}" if (text := self.default_text) else "may be left out"


@dataclass(frozen=True)
class DescribedTable:
    """A table of a run file, described in words."""

    place: str
    """Its place in a run file, e.g. "output"; where several kinds are possible it ends with the
    kind, e.g. "map.block"."""
    description: str
    """What the table describes."""
    keys: tuple[DescribedKey, ...]
    """Its keys: `kind` first, the others in the order of their declaration."""

    def as_dict(self) -> dict[str, Any]:
        """The table and its keys as dictionaries, which JSON can hold."""
        return {**asdict(self), "keys": [asdict(key) for key in self.keys]}


_BASE = DescribedKey(
    "base", (), "text", None, False, None, "The named problem or run file that this one changes."
)


def described(place: str | None = None) -> list[DescribedTable]:
    """The tables at `place` and inside it ("map" gives those of all maps); None gives all tables.

    Errors: `InputError` for an unknown place, with the nearest known one.
    """
    tables: dict[str, type[Any]] = {_TOP: RunFile, **TABLES}
    if place is None:
        chosen = list(tables)
    else:
        wanted = place.strip("[] ")
        chosen = [each for each in tables if each == wanted or each.startswith(f"{wanted}.")]
        if not chosen:
            known = sorted({*tables, *(each.rpartition(".")[0] for each in tables)} - {""})
            raise InputError(
                f"run files have no table {place!r}{nearest(wanted, known)} "
                "`hpc-wgf keys` lists all"
            )
    return [_table(each, tables[each]) for each in chosen]


def _table(place: str, table: type[Any]) -> DescribedTable:
    schema = table_schema(table)
    required = schema.get("required", [])
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    keys = [
        DescribedKey(
            name=name,
            other_names=key.other_names,
            type=_type(properties[name]),
            default=properties[name].get("default"),
            required=name in required,
            unit=_unit(properties[name]),
            description=" ".join(properties[name].get("description", "").split()),
        )
        for name, key in keys_of(table).items()
    ]
    if table is RunFile:
        keys.append(_BASE)
    keys.sort(key=lambda key: key.name != "kind")  # It decides which other keys there are.
    return DescribedTable(place, _first_paragraph(table), tuple(keys))


def _first_paragraph(table: type[Any]) -> str:
    """The first paragraph of its docstring, which is its meaning; later ones tell its errors."""
    return " ".join(inspect.cleandoc(table.__doc__ or "").split("\n\n")[0].split())


_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(schema: Mapping[str, Any]) -> str:
    """The type that a JSON schema describes, in words."""
    if "const" in schema:
        return repr(schema["const"]).replace("'", '"')
    if "enum" in schema:
        return " | ".join(schema["enum"])
    several = schema.get("anyOf") or schema.get("oneOf")
    if several is not None:
        kinds = [_type(each) for each in several if each.get("type") != "null"]
        return " | ".join(dict.fromkeys(kinds))
    if schema.get("type") == "array":
        return _list_of(_type(schema["items"]))
    return _bounded(schema)


def _unit(schema: Mapping[str, Any]) -> str | None:
    """The unit of a number, also of one that may be left out."""
    units = (each.get("unit") for each in (schema, *schema.get("anyOf", ())))
    return next((unit for unit in units if unit is not None), None)


def _list_of(entry: str) -> str:
    """The type of a list, its entries in the plural: "list of whole numbers ≥ 1"."""
    for one in ("number", "list", "table"):
        head, found, rest = entry.partition(one)
        if found and (not head or head == "whole "):
            return f"list of {head}{one}s{rest}"
    return f"list of {entry}"


def _bounded(schema: Mapping[str, Any]) -> str:
    """A number with its bounds, or another simple type."""
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([_TYPES.get(schema.get("type", "object"), "table"), ", ".join(bounds)]).strip()
