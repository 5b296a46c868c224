"""Checks of a run file: one line for each thing that is wrong, and how to correct it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..errors import InputError
from ..fields import explain, nearest, shown
from .index import KINDS, TABLES, keys_of, table_at
from .methods import METHODS
from .run import RunFile
from .toml import with_first_names


def parse(tables: Mapping[str, Any]) -> RunFile:
    """The run file of these tables, checked.

    Errors: `InputError`, one line for each thing that is wrong.
    """
    try:
        return RunFile.model_validate(with_first_names(tables))
    except ValidationError as error:
        lines = [_line(detail) for detail in error.errors()]
        before = " " if len(lines) == 1 else "\n  "
        raise InputError("the run file is not valid:" + before + "\n  ".join(lines)) from error


def _line(detail: ErrorDetails) -> str:
    location, kind = detail["loc"], detail["type"]
    place = ".".join(str(part) for part in _untagged(location))
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{place}: unknown key {_unknown_key(location)}"
    if kind == "union_tag_invalid":
        context = detail.get("ctx", {})
        known = [tag.strip(" '") for tag in str(context.get("expected_tags", "")).split(",")]
        return f"{place}.kind: unknown kind {_unknown(str(context.get('tag')), known)}"
    if kind == "union_tag_not_found":
        return f"{place}: needs a key kind. Known: {', '.join(_kinds_at(location))}"
    return explain(place, detail)


def _unknown(given: str, known: Sequence[str]) -> str:
    return f"{shown(given)}{nearest(given, known) or '.'} Known: {', '.join(known)}"


def _unknown_key(location: Sequence[str | int]) -> str:
    given = str(location[-1])
    place = ".".join(part for part in location[:-1] if isinstance(part, str))
    line = _unknown(given, list(keys_of(table_at(place))))
    others = [kind for kind, options in METHODS.items() if given in keys_of(options)]
    if location[0] == "method" and others:
        return f"{line}; it is an option of kind = {' or '.join(map(repr, others))}"
    return line


def _kinds_at(location: Sequence[str | int]) -> list[str]:
    """The kinds of tables that may stand at a place."""
    place = ".".join(part for part in location if isinstance(part, str))
    return [known.rpartition(".")[2] for known in TABLES if known.rpartition(".")[0] == place]


def _untagged(location: Sequence[str | int]) -> list[str | int]:
    """A location without the tags that pydantic inserts behind the place of a union."""
    pairs = zip(["", *location], location, strict=False)
    return [
        part
        for before, part in pairs
        if not (part in KINDS and (isinstance(before, int) or before in _UNIONS))
    ]


_UNIONS = ("start", "kernel", "method", "mobility", "drift", "draw_from")
