"""What all tables of a run file share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..fields import OPTIONS


class Table(BaseModel):
    """A table whose values are checked, whose keys are documented, and that has no unknown keys.

    The method `build` of a table makes the object that the table describes, in the dimension of the
    problem where it depends on it; it raises `InputError` naming what does not fit.
    """

    model_config = ConfigDict(**OPTIONS, frozen=True)
