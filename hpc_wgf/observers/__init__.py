"""Read-only hooks of the time loop."""

from .base import Observer, Row, Step
from .progress import progress
from .recorder import MemoryRecorder, Recorder

__all__ = ["MemoryRecorder", "Observer", "Recorder", "Row", "Step", "progress"]
