"""The Zarr store of a run: its schema, its writer, its reader."""

from .check import Flaw, check
from .checkpoint import Checkpoint, StepColumns
from .creation import StoreShape
from .reader import StoredRun, open_run
from .schema import SCHEMA, SCHEMA_VERSION, Schema
from .writer import RunWriter, refuse_existing, step_columns

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Checkpoint",
    "Flaw",
    "RunWriter",
    "Schema",
    "StepColumns",
    "StoreShape",
    "StoredRun",
    "check",
    "open_run",
    "refuse_existing",
    "step_columns",
]
