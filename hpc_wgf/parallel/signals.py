"""The signals by which a scheduler asks a job to make room."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_ASK = (signal.SIGUSR1, signal.SIGTERM)
_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: not finished, to be started again


class StopRequest:
    """Whether this process has been asked to stop. Call it: `solve(…, stop=request)`."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """SIGUSR1 and SIGTERM (of Slurm's --signal, of preemption, of `scancel`) are noted, not obeyed
    at once. Further ones change nothing: launchers send them again and again."""
    request = StopRequest()
    before = {number: signal.signal(number, request._note) for number in _ASK}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def status_of_stop(environment: Mapping[str, str]) -> int:
    """75 of a run that was stopped and is to be started again; 0 where torchrun, which restarts
    ranks that end with any other status, would not let it rest."""
    return 0 if int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0")) else _STOPPED
