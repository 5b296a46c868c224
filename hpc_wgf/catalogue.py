"""Named problems: run files of the package, and how a name or a path becomes a run file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from .config import RunFile
from .errors import InputError
from .parsing import parse, read_toml, with_settings

_FOLDER = Path(str(files("hpc_wgf") / "problems" / "catalogue"))


def names() -> list[str]:
    """All named problems."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def text(name: str) -> str:
    """The run file of a named problem. Errors: `InputError` with the nearest known name."""
    if name not in names():
        nearest = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise InputError(
            f"there is no problem named {name!r}: {hint}`hpc-wgf list` shows all. "
            "A run file of your own ends in .toml"
        )
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def load(name_or_file: str, settings: Sequence[str] = ()) -> RunFile:
    """The run file of a name or of a path ending in .toml, with settings "a.b=value" applied.

    A file may say base = "NAME" at its top: it then changes that named problem.
    """
    path = Path(name_or_file) if name_or_file.endswith(".toml") else _path(name_or_file)
    return parse(with_settings(_with_base(read_toml(path)), settings))


def _path(name: str) -> Path:
    text(name)  # refuses unknown names
    return _FOLDER / f"{name}.toml"


def _with_base(tables: dict[str, Any]) -> dict[str, Any]:
    base = tables.pop("base", None)
    if base is None:
        return tables
    return _merged(_with_base(read_toml(_path(str(base)))), tables)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables merged key by key; lists, values and tables of another kind are replaced."""
    result = dict(base)
    for key, value in changes.items():
        known = result.get(key)
        if isinstance(value, dict) and isinstance(known, dict) and _alike(known, value):
            result[key] = _merged(known, value)
        else:
            result[key] = value
    return result


def _alike(base: dict[str, Any], changes: dict[str, Any]) -> bool:
    return changes.get("kind", base.get("kind")) == base.get("kind")
