"""A grid of settings: its axes, and the run files of all combinations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from ..config import RunFile, parse
from ..config.run import with_whole_paths
from ..config.toml import first_name, with_settings
from ..errors import InputError
from ..fields import shown

SEED = "method.seed"
"""The key of the axis that `seeds` makes."""
_MOST = 10_000  # runs
_LONGEST = 120  # characters of a run's name
_UNFIT = re.compile(r"[^A-Za-z0-9.+=_-]+")  # in names of files, whatever shell reads them


def fit(text: str) -> str:
    """A text as a part of the name of a file."""
    return _UNFIT.sub("-", text.strip(_QUOTES))[:_LONGEST]


@dataclass(frozen=True)
class Axis:
    """A key of run files and the values that it is to take."""

    key: str
    """As "method.rtol"."""
    values: tuple[str, ...]
    """As they are written after --set: TOML, or text."""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Of "key=v1,v2"; commas within brackets, braces and quotes belong to a value.

        Errors: `InputError` for another form, and for a value that is missing or given twice."""
        key, equals, values = text.partition("=")
        found = tuple(part.strip() for part in _separated(values))
        if not equals or not key.strip() or not all(found):
            raise InputError(
                f"--grid {shown(text)} is not of the form a.b=value,value: give a key of run files "
                "and one value or more"
            )
        if len(set(found)) < len(found):
            raise InputError(f"--grid {shown(text)} gives a value twice: give each once")
        return cls(first_name(key), found)

    @property
    def short(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]

    @property
    def is_of_numbers(self) -> bool:
        """Whether all values are numbers."""
        try:
            return bool([float(value) for value in self.values])
        except ValueError:
            return False


def _separated(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == "," and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


@dataclass(frozen=True)
class Planned:
    """One of the runs of a sweep."""

    name: str
    """Of its files; it tells the settings."""
    settings: Mapping[str, Any]
    """The value of the key of every axis."""
    places: Mapping[str, int]
    """Its number among those of the axis."""
    tables: Mapping[str, Any]
    """Of its run file."""


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep, and the runs at all their combinations."""

    axes: tuple[Axis, ...]
    runs: tuple[Planned, ...]
    """The last axis changes fastest."""

    @classmethod
    def of(cls, tables: Mapping[str, Any], axes: Sequence[Axis], seeds: int = 1) -> Self:
        """All combinations over a run file's `tables`, each with `seeds` seeds from its own on;
        each is parsed as a run file.

        Errors: `InputError` for a key that is given twice, for keys and values that are none of a
        run file, and for more than 10 000 runs."""
        axes = tuple(axes)
        if seeds > 1:
            first = parse(tables).method.seed
            axes = (*axes, Axis(SEED, tuple(str(first + k) for k in range(seeds))))
        keys = [axis.key for axis in axes]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            also = " (--seeds is one)" if seeds > 1 and twice == SEED else ""
            raise InputError(f"the grid has {twice} twice{also}: give each key once")
        count = 1
        for axis in axes:
            count *= len(axis.values)
        if count > _MOST:
            raise InputError(f"the grid has {count} runs: a sweep has at most {_MOST}")
        named = _names(axes)
        runs = [_planned(tables, axes, named, chosen) for chosen in product(*map(_places, axes))]
        return cls(axes, tuple(runs))


def _places(axis: Axis) -> range:
    return range(len(axis.values))


def _planned(
    tables: Mapping[str, Any], axes: Sequence[Axis], named: Sequence[Sequence[str]],
    chosen: Sequence[int],
) -> Planned:  # fmt: skip
    settings = [f"{axis.key}={axis.values[k]}" for axis, k in zip(axes, chosen, strict=True)]
    name = "_".join(names[k] for names, k in zip(named, chosen, strict=True)) or "run"
    changed = with_settings(tables, settings)
    try:
        run_file = parse(changed)
    except InputError as error:
        raise InputError(f"with {', '.join(settings)}, {error}") from error
    values = {axis.key: _value(run_file, changed, axis.key) for axis in axes}
    places = {axis.key: k for axis, k in zip(axes, chosen, strict=True)}
    return Planned(name, values, places, with_whole_paths(changed))


def _value(run_file: RunFile, tables: Mapping[str, Any], key: str) -> Any:
    """The value of a key as the run file has it, so that 1 and 1.0 are the same."""
    for place in (run_file.stored(), tables):
        try:
            for part in key.split("."):
                place = place[int(part)] if isinstance(place, list) else place[part]
        except (KeyError, IndexError, ValueError):
            continue
        return place
    return None


def _names(axes: Sequence[Axis]) -> list[list[str]]:
    """What a run's name says of each value of each axis: "rtol=1e-3", of a long or awkward value
    its number."""
    shorts = [axis.short for axis in axes]
    room = _LONGEST // max(1, len(axes))
    found = []
    for axis in axes:
        label = axis.short if shorts.count(axis.short) == 1 else axis.key
        names = [_UNFIT.sub("-", f"{label}={value.strip(_QUOTES)}") for value in axis.values]
        unfit = len(set(names)) < len(names) or max(map(len, names)) > room
        if unfit:
            names = [_UNFIT.sub("-", f"{label}={k + 1}") for k in range(len(names))]
        found.append(names)
    return found


_QUOTES = "\"'"
