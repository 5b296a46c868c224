"""Whether an object is of the kind that is expected, judged by what it can do."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

from .errors import InputError

Choice = TypeVar("Choice", bound=Enum)


def check_kind(value: object, kind: str, needs: Sequence[str], remedy: str) -> None:
    """Errors: `InputError` if `value` is a class, where an object of it is wanted, or if it lacks
    one of the attributes that an object of this `kind`, e.g. "energy", `needs`. `remedy`: what to
    give in its place."""
    if isinstance(value, type):
        raise InputError(
            f"the class {value.__name__} was given as {kind}: make an object of it, "
            f"{value.__name__}(…)"
        )
    missing = [name for name in needs if not hasattr(value, name)]
    if missing:
        raise InputError(f"{shown(value)} is no {kind}, it has no {missing[0]}: {remedy}")


def check_number(value: object, what: str) -> None:
    """Errors: `InputError` if `value`, given as `what`, is no real number."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{shown(value)} was given as {what}: expected a number") from error


def check_choice(value: object, choices: type[Choice], what: str) -> Choice:
    """The choice of this name. Errors: `InputError` if `value`, given as `what`, is none."""
    try:
        return choices(value)
    except ValueError as error:
        names = ", ".join(str(each.value) for each in choices)
        raise InputError(f"{shown(value)} was given as {what}: expected one of {names}") from error


def check_function(value: object, what: str) -> None:
    """Errors: `InputError` if `value`, given as `what`, cannot be called."""
    if not callable(value):
        raise InputError(f"{shown(value)} was given as {what}: expected a function")


def check_whole(value: object, what: str) -> None:
    """Errors: `InputError` if `value`, given as `what`, is no whole number."""
    try:
        if isinstance(value, bool):
            raise TypeError
        operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"{shown(value)} was given as {what}: expected a whole number") from error


def shown(value: object) -> str:
    """`value` in a few words on one line, with its type."""
    words = " ".join(reprlib.repr(value).split())
    return f"{words} (a {type(value).__qualname__})"
