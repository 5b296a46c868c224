"""Types of fields, stricter and friendlier than Python's: true is no number, 1e5 is a count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, GetJsonSchemaHandler, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

OPTIONS = ConfigDict(
    extra="forbid",
    allow_inf_nan=False,
    use_attribute_docstrings=True,
    validate_by_name=True,
    validate_by_alias=True,
    serialize_by_alias=True,
)
"""How tables of run files and options in Python are checked."""


@dataclass(frozen=True)
class Unit:
    """The unit of a field, for `hpc-wgf keys`: `Annotated[float, Unit("time")]`."""

    name: str
    """In words, as "units of x"."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "unit": self.name}


def _whole(value: Any) -> Any:
    """An int for every whole number, numpy's and 1e5 among them; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        return int(value)
    return int(float(value)) if float(value).is_integer() else value


def _number(value: Any) -> Any:
    """A float for every real number, numpy's among them; anything else as it is."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else value


# Strict: a number is not read from a string or from true and false.
Whole = Annotated[int, Strict(), BeforeValidator(_whole, json_schema_input_type=int)]
"""A whole number, 1e5 among them; 1.5 and true are none."""

Number = Annotated[float, Strict(), BeforeValidator(_number, json_schema_input_type=float)]
"""A finite number; true is none."""

Flag = Annotated[bool, Strict()]
"""true or false."""


def unexpected(expected: str) -> PydanticCustomError:
    """The error of a validator of ours: what was expected in place of the value."""
    return PydanticCustomError("unexpected", "expected {expected}", {"expected": expected})


def _depth(value: Any) -> int | None:
    """0 for a number, 1 for a list of numbers, 2 for a list of lists of numbers, else None."""
    if not isinstance(value, list | tuple):
        return 0 if isinstance(value, Real) and not isinstance(value, bool) else None
    inside = {_depth(entry) for entry in value}
    (depth,) = inside if len(inside) == 1 else (None,)
    return None if depth is None or depth > 1 else depth + 1


def _floats(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_floats(entry) for entry in value]
    if not math.isfinite(value):
        raise unexpected("finite numbers")
    return float(value)


def _numbers(most: int, expected: str) -> BeforeValidator:
    """Refuses in one line what pydantic would refuse once for every kind of value allowed."""

    def check(value: Any) -> Any:
        depth = _depth(value)
        if depth is None or depth > most:
            raise unexpected(expected)
        return _floats(value)

    kinds = float | list[float] if most == 1 else float | list[float] | list[list[float]]
    return BeforeValidator(check, json_schema_input_type=kinds)


Vector = Annotated[
    float | list[float], _numbers(1, "a number for all coordinates, or a list of numbers")
]
"""A number for all coordinates, or a list of one for each."""

Matrix = Annotated[
    float | list[float] | list[list[float]],
    _numbers(2, "a number, a list of numbers, or a list of rows of numbers"),
]
"""A number c for c·I, a list for a diagonal, or a list of rows."""
