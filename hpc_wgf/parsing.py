"""Reading run files: TOML, settings from the command line, and errors that name the mend."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .config import EnergyTable, KernelTable, MapTable, RunFile, StartTable
from .errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Errors: `InputError` with the line that cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the run file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error


def with_settings(tables: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The tables with "a.b=value" settings applied; numbers in the path index lists."""
    result: dict[str, Any] = _copy(tables)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting!r} is not of the form a.b=value")
        place: Any = result
        *path, last = key.strip().split(".")
        for name in path:
            place = _enter(place, name, setting)
        if isinstance(place, list):
            place[_index(place, last, setting)] = _value(text)
        else:
            place[last] = _value(text)
    return result


def _enter(place: Any, name: str, setting: str) -> Any:
    if isinstance(place, list):
        inside = place[_index(place, name, setting)]
    else:
        inside = place.setdefault(name, {})
    if not isinstance(inside, dict | list):
        raise InputError(f"--set {setting!r}: {name} is a value, not a table")
    return inside


def _index(place: list[Any], name: str, setting: str) -> int:
    if not name.isdecimal() or int(name) >= len(place):
        raise InputError(
            f"--set {setting!r}: {name!r} does not number one of {len(place)} entries "
            f"(0 … {len(place) - 1})"
        )
    return int(name)


def _value(text: str) -> Any:
    """A TOML value; anything that is none is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def parse(tables: Mapping[str, Any]) -> RunFile:
    """A checked run file. Errors: `InputError`, one line for each thing that is wrong."""
    try:
        return RunFile.model_validate(tables)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise InputError("the run file is not valid:\n  " + "\n  ".join(lines)) from error


def _explain(detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in _untagged(detail["loc"]))
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(detail["loc"])
        return f"{place}: unknown key{_suggestion(str(detail['loc'][-1]), known)}"
    if kind == "union_tag_invalid":
        context = detail.get("ctx", {})
        known = [tag.strip(" '") for tag in str(context.get("expected_tags", "")).split(",")]
        return f"{place}.kind: unknown kind{_suggestion(str(context.get('tag')), known)}"
    if kind == "union_tag_not_found":
        return f"{place}: needs a key kind"
    if kind == "missing":
        return f"{place}: missing"
    return f"{place} = {given!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _suggestion(given: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f", did you mean {nearest[0]!r}?" if nearest else ""
    return f" {given!r}{hint} Known: {', '.join(known)}"


def _kinds(*unions: Any) -> dict[str, type[BaseModel]]:
    """The tables of tagged unions by their kind."""
    tables = [table for union in unions for table in get_args(get_args(union)[0])]
    return {get_args(table.model_fields["kind"].annotation)[0]: table for table in tables}


_TABLES = _kinds(EnergyTable, KernelTable, StartTable, MapTable)


def _untagged(location: Sequence[str | int]) -> list[str | int]:
    """A location without the union tags that pydantic puts behind the place of a union."""
    pairs = zip(["", *location], location, strict=False)
    return [
        part
        for before, part in pairs
        if not (part in _TABLES and (isinstance(before, int) or before in ("start", "kernel")))
    ]


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """Keys of the table in which the last part of `location` stands."""
    table: Any = RunFile
    for part in location[:-1]:
        if part in _TABLES:
            table = _TABLES[str(part)]
        elif isinstance(part, str) and part in table.model_fields:
            annotation = table.model_fields[part].annotation
            if get_origin(annotation) is list:
                (annotation,) = get_args(annotation)
            table = annotation if hasattr(annotation, "model_fields") else table
    return list(table.model_fields)
