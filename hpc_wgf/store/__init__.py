"""The Zarr store of a run: its schema, its writer, its reader."""

from .check import Flaw, check, refuse_damaged
from .checkpoint import Checkpoint, StepColumns
from .creation import StoreShape
from .cutting_back import forget_checkpoint
from .map_file import load_map, save_map
from .opening import open_run
from .reader import StoredRun
from .schema import BEGINS_AT_REST, SCHEMA_VERSION
from .shards import blocks_per_shard, default_shards
from .stages import Stage, StoredStage
from .writer import RunWriter, refuse_existing

__all__ = [
    "BEGINS_AT_REST",
    "SCHEMA_VERSION",
    "Checkpoint",
    "Flaw",
    "RunWriter",
    "Stage",
    "StepColumns",
    "StoreShape",
    "StoredRun",
    "StoredStage",
    "blocks_per_shard",
    "check",
    "default_shards",
    "forget_checkpoint",
    "load_map",
    "open_run",
    "refuse_damaged",
    "refuse_existing",
    "save_map",
]
