"""The recorded CUDA graphs that are alive.

A graph that holds a collective of NCCL has to be gone before the group of ranks is closed: closing
it would else wait for ever, or crash.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet


class Recording(Protocol):
    """A recorded graph."""

    def drop(self) -> None:
        """Free what has been recorded."""
        ...


_ALIVE: WeakSet[Recording] = WeakSet()


def keep_track(recording: Recording) -> None:
    """Count a recording among those that are alive, as long as it is used anywhere."""
    _ALIVE.add(recording)


def drop_all() -> None:
    """Free all recordings, before the group of ranks is closed."""
    for recording in list(_ALIVE):
        recording.drop()
