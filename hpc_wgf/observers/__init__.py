"""Read-only hooks of the time loop."""

from .base import NewStage, Observer, Snapshot, StepRecord
from .progress import progress
from .recorder import MemoryRecorder, Recorder

__all__ = [
    "MemoryRecorder",
    "NewStage",
    "Observer",
    "Recorder",
    "Snapshot",
    "StepRecord",
    "progress",
]
