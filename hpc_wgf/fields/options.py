"""Options made in Python raise the errors of this package, worded as those of run files."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..errors import InputError
from .words import explain, nearest

T = TypeVar("T")


def plain_errors(cls: type[T]) -> type[T]:
    """Class decorator: the constructor of a pydantic dataclass raises `InputError`.

    Its message has one line for each wrong value and takes the place of pydantic's own.
    """
    construct = cls.__init__

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **given: Any) -> None:
        try:
            construct(self, *args, **given)
        except ValidationError as error:
            known = [field.name for field in fields(cls) if field.init]  # type: ignore[arg-type]
            lines = [_line(detail, known) for detail in error.errors()]
            raise InputError("\n".join(lines)) from error
        finally:
            # pydantic, which completes a class at its first use, puts its own constructor back.
            cls.__init__ = __init__  # type: ignore[method-assign]

    cls.__init__ = __init__  # type: ignore[method-assign]
    return cls


def _line(detail: ErrorDetails, known: list[str]) -> str:
    """The line that tells one of pydantic's errors; `known`: the names of the options."""
    place = ".".join(_name(part, known) for part in detail["loc"])
    if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        if place in known:
            return f"{place} is given twice, under two names: give it once"
        return f"unknown option {place!r}{nearest(place, known) or '.'} Known: {', '.join(known)}"
    return explain(place, detail)


def _name(part: str | int, known: list[str]) -> str:
    """The name of an option, for which an error gives its position among the arguments."""
    return known[part] if isinstance(part, int) and part < len(known) else str(part)
