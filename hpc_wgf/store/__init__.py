"""The Zarr store of a run: its schema, its writer, its reader."""

from .check import Flaw, check
from .reader import StoredRun, open_run
from .schema import SCHEMA, SCHEMA_VERSION, Schema
from .writer import RunWriter, StoreShape, refuse_existing, step_columns

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Flaw",
    "RunWriter",
    "Schema",
    "StoreShape",
    "StoredRun",
    "check",
    "open_run",
    "refuse_existing",
    "step_columns",
]
