"""Read-only hooks of the time loop."""

from .base import NewStage, Observer, Snapshot, StepRecord
from .metrics import Metrics
from .progress import event_log, progress
from .recorder import MemoryRecorder, Recorder

__all__ = [
    "MemoryRecorder",
    "Metrics",
    "NewStage",
    "Observer",
    "Recorder",
    "Snapshot",
    "StepRecord",
    "event_log",
    "progress",
]
