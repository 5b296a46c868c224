"""Named problems, the run files of this package; how a name or a path becomes a run file."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError
from ..fields import local_path, nearest
from .toml import merged, parse_toml, read_toml, with_settings

if TYPE_CHECKING:
    from .run import RunFile

_FOLDER = Path(str(files("hpc_wgf") / "problems" / "catalogue"))
STANDARD_INPUT = "-"
"""Given in place of a name, it says that the run file is read from standard input."""


class Listed(NamedTuple):
    """A named problem as `hpc-wgf list` shows it."""

    name: str
    """The name by which it is run."""
    dimension: int
    """Dimension d of x ∈ ℝᵈ."""
    until: float
    """Time at which the run ends."""
    title: str
    """One line that says what is solved."""


def names() -> list[str]:
    """The names of all named problems, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def listed() -> list[Listed]:
    """All named problems, sorted by name.

    Their run files are read but not checked, since checking all of them takes seconds.
    """
    problems = [_problem_of(name) for name in names()]
    return [
        Listed(each["name"], each["dimension"], float(each["until"]), each.get("title", ""))
        for each in problems
    ]


def _problem_of(name: str) -> dict[str, Any]:
    """The table [problem] of a named problem over that of its base, for which no tables of run
    files are made."""
    tables = tomllib.loads(text(name))
    base = _problem_of(tables["base"]) if "base" in tables else {}
    return {**base, **tables.get("problem", {})}


def text(name: str) -> str:
    """The text (TOML) of the run file of a named problem.

    Errors: `InputError` for an unknown name, with the nearest known one.
    """
    if name not in names():
        raise InputError(
            f"there is no problem named {name!r}{nearest(name, names(), cutoff=0.4)}: "
            "`hpc-wgf list` shows all. A run file of your own is given by its path"
        )
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def load(
    name_or_file: str,
    settings: Sequence[str] = (),
    *,
    read_input: Callable[[], str] | None = None,
) -> RunFile:
    """The run file of a name, of a path, or for "-" of standard input, checked.

    A path ends in .toml (in upper or lower case) or leads to an existing file; a name stands for
    the named problem even where a file has that name too. With base = "NAME or FILE" at its top, a
    file changes that run file; the path is relative to the folder of the file that names it.
    `settings`: each "a.b=value" changes one value in the end. `read_input`: a function that gives
    the text of standard input, in place of `sys.stdin`.

    Errors: `InputError`, one line for each thing that is wrong.
    """
    from .parsing import parse

    return parse(with_settings(tables_of(name_or_file, read_input), settings))


def tables_of(name_or_file: str, read_input: Callable[[], str] | None = None) -> dict[str, Any]:
    """The tables of a run file merged over those of its bases, not yet checked.

    The arguments are those of `load`. Errors: `InputError` for an unknown name, for a file that
    cannot be read, and for one that is its own base.
    """
    if name_or_file == STANDARD_INPUT:
        given = sys.stdin.read() if read_input is None else read_input()
        tables = parse_toml(given, "standard input")
        return _with_base(tables, Path(), ["standard input"])
    path = _found(name_or_file, Path())
    return _with_base(read_toml(path), path.parent, [str(path.resolve())])


def _found(name_or_file: str, folder: Path) -> Path:
    """The path of a run file; `folder`: where relative paths begin."""
    path = folder / local_path(name_or_file)
    if path.suffix.lower() == ".toml":
        return path
    if name_or_file not in names() and os.path.isfile(path):  # False too for what is no path
        return path
    text(name_or_file)  # raises for an unknown name
    return _FOLDER / f"{name_or_file}.toml"


def _with_base(tables: dict[str, Any], folder: Path, chain: list[str]) -> dict[str, Any]:
    """The tables over those of their base; `chain`: files, each the base of the one before it."""
    if "base" not in tables:
        return tables
    base = tables.pop("base")
    if not isinstance(base, str):
        raise InputError(f"base = {base!r}: expected the name of a problem or the path of a file")
    path = _found(base, folder)
    read = read_toml(path)
    place = str(path.resolve())
    if place in chain:
        round_trip = " → ".join([*chain[chain.index(place) :], place])
        raise InputError(f"a run file cannot be its own base: {round_trip}")
    return merged(_with_base(read, path.parent, [*chain, place]), tables)
