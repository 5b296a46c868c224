"""What all tables of a run file share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..fields import OPTIONS


class Table(BaseModel):
    """Checked, documented, without unknown keys; `build` of each makes what it describes."""

    model_config = ConfigDict(**OPTIONS, frozen=True)
