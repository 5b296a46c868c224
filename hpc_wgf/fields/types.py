"""Types of options and keys: `true` is not accepted as a number, 1e5 is as a whole number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, GetJsonSchemaHandler, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

__all__ = ["OPTIONS", "Flag", "Matrix", "Number", "Unit", "Vector", "Whole", "unexpected"]

OPTIONS = ConfigDict(
    # Only the whole of a run file is ever checked, and what Python makes: tables alone are not.
    defer_build=True,
    extra="forbid",
    allow_inf_nan=False,
    validate_by_name=True,
    validate_by_alias=True,
    serialize_by_alias=True,
)
"""pydantic's settings for every table of run files and every class of options.

Unknown keys and numbers that are not finite are errors. The string literal under a field is its
description, which is read only where it is shown (`config.docstrings`).
"""


@dataclass(frozen=True)
class Unit:
    """The unit of a field, which `hpc-wgf keys` shows: `Annotated[float, Unit("time")]`."""

    name: str
    """As it is shown, e.g. "time", "x²" or "GiB"."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "unit": self.name}


_BEYOND = 2**63  # 64-bit integers of torch end here.
_LARGEST = 1e100  # Squares of numbers of this size and products of three of them are finite.


def _whole(value: Any) -> Any:
    """An int for every whole number, also one of numpy and 1e5; anything else unchanged."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if not isinstance(value, Integral):
        value = float(value)
        if not value.is_integer():
            return value
    whole = int(value)
    if abs(whole) >= _BEYOND:
        raise unexpected("a whole number below 2^63 in size")
    return whole


def _number(value: Any) -> Any:
    """A float for every real number, also one of numpy; anything else unchanged."""
    return _real(value) if isinstance(value, Real) and not isinstance(value, bool) else value


def _real(value: Any) -> float:
    """The float of a real number. Errors: where it, or what is made of it, would overflow."""
    size = abs(value)
    if _LARGEST < size < math.inf or 0 < size < 1 / _LARGEST:
        raise unexpected("0 or a size between 1e-100 and 1e100: choose other units")
    return float(value)


# The types are strict: a string, true or false is not turned into a number.
Whole = Annotated[int, Strict(), BeforeValidator(_whole, json_schema_input_type=int)]
"""A whole number; 1e5 is accepted, 1.5 and true are not."""

Number = Annotated[float, Strict(), BeforeValidator(_number, json_schema_input_type=float)]
"""A finite real number, 0 or of a size between 1e-100 and 1e100; true is not accepted."""

Flag = Annotated[bool, Strict()]
"""true or false."""


def unexpected(expected: str) -> PydanticCustomError:
    """The error for a validator to raise: it tells what was `expected` in place of the value."""
    return PydanticCustomError("unexpected", "expected {expected}", {"expected": expected})


def _depth(value: Any) -> int | None:
    """0 for a number, 1 for a list of numbers, 2 for a list of lists of them, None otherwise."""
    if not isinstance(value, list | tuple):
        return 0 if isinstance(value, Real) and not isinstance(value, bool) else None
    inside = {_depth(entry) for entry in value}
    (depth,) = inside if len(inside) == 1 else (None,)
    return None if depth is None or depth > 1 else depth + 1


def _floats(value: Any) -> Any:
    """The same number or nested list, of floats."""
    if isinstance(value, list | tuple):
        return [_floats(entry) for entry in value]
    real = _real(value)
    if not math.isfinite(real):
        raise unexpected("finite numbers")
    return real


def _numbers(most: int, expected: str) -> BeforeValidator:
    """A validator of numbers in lists nested at most `most` deep; its error says `expected`.

    pydantic by itself would report one error for each member of the union of types.
    """

    def check(value: Any) -> Any:
        depth = _depth(value)
        if depth is None or depth > most:
            raise unexpected(expected)
        if depth == 2 and len({len(row) for row in value}) > 1:
            raise unexpected("rows of one length")
        return _floats(value)

    kinds = float | list[float] if most == 1 else float | list[float] | list[list[float]]
    return BeforeValidator(check, json_schema_input_type=kinds)


Vector = Annotated[
    float | list[float], _numbers(1, "a number for all coordinates, or a list of numbers")
]
"""A number for all coordinates, or a list with one number for each."""

Matrix = Annotated[
    float | list[float] | list[list[float]],
    _numbers(2, "a number, a list of numbers, or a list of rows of numbers"),
]
"""A number c for c·I, a list for the diagonal, or a list of rows."""
