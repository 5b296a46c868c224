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
    ] = AUTO
    """"auto" for the rule of the two keys that follow, "none", or the times at which a stage
    begins. A map of one's own, which no store can describe, has one stage only."""
    deformation: Annotated[Number, Field(gt=0)] | None = None
    """A stage ends where (E|∇S − M|²/|M|²)^½ exceeds this, S the map of the stage, M the linear
    part of the affine map nearest to it and |·| the Frobenius norm. Left out, .3 for maps that are
    linear in their parameters, and 1 for others, whose features adapt to the flow; for these there
    is no bound where the energy does not depend on the density, as a fold is no harm then."""
    growth: Annotated[Number, Field(gt=1)] = 1.5
    """A stage also ends where the run has lasted so many times as long as where it began, and the
    deformation is a tenth of that above."""
