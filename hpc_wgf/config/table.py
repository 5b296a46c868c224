"""What all tables of a run file share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Vector = float | list[float]
Matrix = float | list[float] | list[list[float]]


class Table(BaseModel):
    """Checked, documented, without unknown keys."""

    # strict: a number is not read from a string or from true and false.
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, frozen=True
    )
