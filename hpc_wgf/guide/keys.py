"""Every key of a run file as Markdown, from the tables themselves.

A table is any pydantic model or dataclass: its fields carry name, type, default, description and,
in their metadata, a unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_WORDS = {float: "number", int: "whole number", str: "text", bool: "true or false"}


def keys_of(root: type) -> str:
    """A section for every table below `root`, in the order of the tables' fields. A table that may
    stand in several places is described once, at the one nearest to the top."""
    places = list(tables_below(root))
    nearest: dict[type, str] = {}
    for path, table in places:
        if path.count(".") < nearest.get(table, path + ".").count("."):
            nearest[table] = path
    return "\n\n".join(_section(path, table) for path, table in places if nearest[table] == path)


def tables_below(root: type) -> Iterator[tuple[str, type]]:
    """(path, table) of every table that a run file may hold, `root` itself left out; the path of
    one kind of several is "place.kind", e.g. "map.block"."""
    for name, field in fields(root).items():
        inner = [part for part in _leaves(field.annotation) if fields(part)]
        for table in inner:
            path = f"{name}.{kind_of(table)}" if len(inner) > 1 else name
            yield path, table
            yield from ((f"{path}.{rest}", below) for rest, below in tables_below(table))


def fields(table: Any) -> dict[str, FieldInfo]:
    """The fields of a pydantic model or dataclass, empty for any other type."""
    return dict(getattr(table, "__pydantic_fields__", {}))


def kind_of(table: type) -> str:
    """The tag of one table among several."""
    return str(get_args(fields(table)["kind"].annotation)[0])


def unit_of(field: FieldInfo) -> str:
    """The unit in a field's metadata or JSON schema, empty where it has none."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "unit" in extra:
        return str(extra["unit"])
    return next((str(item.unit) for item in field.metadata if hasattr(item, "unit")), "")


def type_words(annotation: Any) -> str:
    """A type in words: "number", "list of number", "a, b or c"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(arguments[0])
    if origin in (Union, UnionType):
        if any(fields(part) for part in arguments):
            return "table"
        return " or ".join(type_words(part) for part in arguments if part is not NoneType)
    if origin in (list, tuple):
        return f"list of {_plural(type_words(arguments[0]))}"
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f'"{member.value}"' for member in annotation)
    if fields(annotation):
        return "table"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _section(path: str, table: type) -> str:
    """Heading, description and keys of one table."""
    keys = {k: v for k, v in fields(table).items() if k != "kind" and not v.exclude}
    lines = [_line(name, field) for name, field in keys.items()]
    head = f"### {path}\n\n{_first_paragraph(table.__doc__ or '')}"
    return f"{head}\n\n" + ("\n".join(lines) if lines else "No keys but `kind`.")


def _line(name: str, field: FieldInfo) -> str:
    """- `key` (type; default; unit): description"""
    unit = unit_of(field)
    facts = [type_words(field.annotation), _default(field), *([f"unit {unit}"] if unit else [])]
    words = " ".join((field.description or "").split())
    return f"- `{_key(name, field)}` ({'; '.join(facts)})" + (f": {words}" if words else "")


def _key(name: str, field: FieldInfo) -> str:
    """What a field is called in a run file: its alias, the first of several, or its name."""
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return alias if isinstance(alias, str) else name


def _plural(words: str) -> str:
    """Of "number", "list of numbers", "text", …"""
    head, of, rest = words.partition(" of ")
    return head + ("" if head in ("text", "true or false") else "s") + of + rest


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or fields(type(field.default)):
        return "may be left out"
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "no default"
    value = field.default.value if isinstance(field.default, Enum) else field.default
    return "default " + (f'"{value}"' if isinstance(value, str) else _number(value))


def _number(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.12g}"


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types that a field may hold, unions, lists and annotations taken apart."""
    if get_origin(annotation) in (Annotated, list):
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _leaves(part)
    else:
        yield annotation


def _first_paragraph(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().partition("\n\n")[0])
