"""An observer to begin from."""

from __future__ import annotations


class Watching:
    """Does nothing, whatever it is told of a run."""

    def on_step(self, step) -> None:
        return

    def on_row(self, row) -> None:
        return

    def on_stop(self, state, memory, seconds) -> None:
        return

    def on_end(self) -> None:
        return
