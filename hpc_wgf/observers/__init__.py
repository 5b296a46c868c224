"""Read-only hooks of the time loop."""

from .base import Observer, Snapshot, StepRecord
from .progress import progress
from .recorder import MemoryRecorder, Recorder

__all__ = ["MemoryRecorder", "Observer", "Recorder", "Snapshot", "StepRecord", "progress"]
