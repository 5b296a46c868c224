"""Unchecked tables: read from TOML, changed by settings "a.b=value", merged over a base."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..fields import shown


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Errors: `InputError` where the file cannot be read, or with the line that is not TOML.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {not_utf8(error)}") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        why = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the run file {path}: {why}") from error
    return parse_toml(text, str(path))


def not_utf8(error: UnicodeDecodeError) -> str:
    """Where a text is not encoded in UTF-8, in words."""
    line = error.object[: error.start].count(b"\n") + 1
    return f"byte {error.object[error.start]:#04x} in line {line} is not UTF-8: save it as UTF-8"


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The tables in a TOML text, which may begin with a byte order mark.

    Errors: `InputError`, which names `source` and the line."""
    try:
        return with_first_names(_loaded(text.removeprefix("\ufeff")))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {error}") from error
    except _Beyond as error:
        raise InputError(f"{source} {error}") from error


_OF_ALL_METHODS = {"samples", "seed", "dtype", "block", "step"}  # and meant alike by them
_DEEPEST = 16  # The tables of run files lie five deep.


class _Beyond(Exception):
    """A TOML text that Python or this package does not read, in words that follow its source."""


def _loaded(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Errors: `TOMLDecodeError`; `_Beyond` for what is valid TOML, but
    beyond any run file."""
    too_deep = _Beyond(f"has tables or lists more than {_DEEPEST} deep: no key needs that")
    try:
        tables = tomllib.loads(text)
    except RecursionError as error:
        raise too_deep from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python reads no whole number of more digits.
        raise _Beyond("has a whole number of thousands of digits: give one below 2^63") from error
    inside: list[Any] = [tables]
    for _ in range(_DEEPEST):
        inside = [
            each
            for place in inside
            for each in (place.values() if isinstance(place, dict) else place)
            if isinstance(each, dict | list)
        ]
        if not inside:
            return tables
    raise too_deep


def with_first_names(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with every option of the method under its first name.

    A file that says `step_size` then changes the `step` of its base. Errors: `InputError` for an
    option that is given under two names.
    """
    method = tables.get("method")
    if not isinstance(method, Mapping):
        return dict(tables)
    first = _same_keys()
    named: dict[str, Any] = {}
    for key, value in method.items():
        name = first.get(str(key), str(key))
        if name in named:
            both = " and ".join(each for each in method if first.get(each, each) == name)
            raise InputError(f"method: {both} are names of the same key: give one of them")
        named[name] = value
    return {**tables, "method": named}


def _same_keys() -> dict[str, str]:
    from .index import same_keys  # All tables are made for it, which reading TOML alone needs not.

    return same_keys()


def first_name(key: str) -> str:
    """A dotted key by the first names of options: "method.step" for "method.step_size"."""
    parts = [part.strip() for part in key.split(".")]
    if len(parts) == 2 and parts[0] == "method":
        parts[1] = _same_keys().get(parts[1], parts[1])
    return ".".join(parts)


def written(tables: Mapping[str, Any]) -> str:
    """A TOML text of tables that were read from TOML, or are those of a run file: a line a key,
    inner tables inline."""
    lines = [f"{_key(key)} = {_inline(value)}" for key, value in tables.items() if _plain(value)]
    for key, value in tables.items():
        if not _plain(value):
            lines += ["", f"[{_key(key)}]"]
            lines += [f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None]
    return "\n".join(lines).strip() + "\n"


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str | bool):  # TOML's basic strings are JSON's.
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` merged over `base` key by key.

    Lists, values and tables of another kind are replaced as a whole.
    """
    result = dict(base)
    for key, value in changes.items():
        known = result.get(key)
        if isinstance(value, dict) and isinstance(known, dict) and _alike(known, value):
            result[key] = merged(known, value)
        else:
            result[key] = value
    return result


def _alike(base: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Whether two tables are of the same kind; changes without `kind` keep that of the base."""
    return bool(changes.get("kind", base.get("kind")) == base.get("kind"))


def with_settings(tables: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The tables changed by settings "a.b=value", applied in order; numbers in a.b index lists.

    A value that is not TOML is taken as text. Another `method.kind` is set first, and begins the
    table of the method anew but for `_OF_ALL_METHODS`, and where that has steps of one size for the
    first of steps with a tolerance. Errors: `InputError` for a setting of
    another form, or whose path leads nowhere.
    """
    result: dict[str, Any] = _copy(tables)
    for setting in sorted(settings, key=lambda each: not _is_kind(each)):
        key, equals, _ = setting.partition("=")
        *path, last = (part.strip() for part in key.split("."))
        if not equals or not all((*path, last)) or len(path) > _DEEPEST:
            raise InputError(f"--set {shown(setting)} is not of the form a.b=value")
        if path == ["method"]:
            last = _same_keys().get(last, last)
        place: Any = result
        for name in path:
            place = _enter(place, name, setting)
        if _is_kind(setting):
            _begin_anew(place, _value(setting))
        place[_index(place, last, setting) if isinstance(place, list) else last] = _value(setting)
    return result


def _is_kind(setting: str) -> bool:
    """Whether a setting names the method."""
    key = setting.partition("=")[0]
    return [part.strip() for part in key.split(".")] == ["method", "kind"]


def _begin_anew(method: Any, kind: Any) -> None:
    """Take from the table of a method, if it is of another kind, what is not of all."""
    from .methods import DEFAULT_METHOD

    if isinstance(method, dict) and method.get("kind", DEFAULT_METHOD) != kind:
        kept = _OF_ALL_METHODS
        if "tolerance" in method and not _holds_tolerance(kind):
            kept = kept - {"step"}  # It was the first of many.
        for key in method.keys() - kept:
            del method[key]


def _holds_tolerance(kind: Any) -> bool:
    from .methods import METHODS

    known = METHODS.get(kind) if isinstance(kind, str) else None
    return known is None or "tolerance" in known.__dataclass_fields__


def _enter(place: Any, name: str, setting: str) -> Any:
    """The table or list under `name` in the table or list `place`."""
    if isinstance(place, list):
        inside = place[_index(place, name, setting)]
    else:
        inside = place.setdefault(name, {})
    if not isinstance(inside, dict | list):
        raise InputError(
            f"--set {shown(setting)}: {name} is a value, not a table: set it as a whole"
        )
    return inside


def _index(place: list[Any], name: str, setting: str) -> int:
    """The entry of a list that `name` numbers, from 0."""
    if not name.isdecimal() or len(name) > 9 or int(name) >= len(place):
        raise InputError(
            f"--set {shown(setting)}: {shown(name)} does not number one of {len(place)} entries "
            f"(0 … {len(place) - 1})"
        )
    return int(name)


def _value(setting: str) -> Any:
    """The value of a setting in TOML; a text that is not TOML stands for itself."""
    text = setting.partition("=")[2].strip()
    try:
        tables = _loaded(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except _Beyond as error:
        raise InputError(f"--set {shown(setting)} {error}") from error
    if set(tables) != {"value"}:
        raise InputError(f"--set {shown(setting)} gives more than one value: repeat --set")
    return tables["value"]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
