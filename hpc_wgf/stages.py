"""When a map is frozen and another goes on: an argument of `solve`, the table `[stages]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from .fields import OPTIONS, Number, plain_errors, unexpected

AUTO, NONE = "auto", "none"


def _times(value: Any) -> Any:
    """ "auto", "none", or rising finite times as a tuple."""
    if value in (AUTO, NONE):
        return value
    wanted = unexpected('"auto", "none", or a list of rising times')
    if not isinstance(value, list | tuple) or not all(
        isinstance(time, int | float) and not isinstance(time, bool) and math.isfinite(time)
        for time in value
    ):
        raise wanted
    times = tuple(float(time) for time in value)
    if not times or any(later <= earlier for earlier, later in pairwise(times)):
        raise wanted
    return times


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class Stages:
    """When the map is frozen, and a new one of the same kind, the identity at first and laid out
    for the images of the start density, goes on.

    One smooth map cannot carry every flow for long: it folds where modes merge, and its features
    stay where the start density was, while the flow between two times remains smooth.

    Errors: `InputError`, one line a wrong value.
    """

    when: Annotated[
        str | Sequence[float],
        BeforeValidator(_times, json_schema_input_type=Literal["auto", "none"] | list[float]),
    ] = NONE
    """"none", "auto" for the rule of the two keys that follow, or the times at which a stage
    begins."""
    deformation: Annotated[Number, Field(gt=0)] = 0.3
    """A stage ends where (E|∇S − I|²/d)^½ exceeds this, S the map of the stage and |·| the
    Frobenius norm."""
    growth: Annotated[Number, Field(gt=1)] = 1.5
    """A stage also ends where the run has lasted so many times as long as where it began."""
