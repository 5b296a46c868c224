"""The signals by which a scheduler asks a job to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_ASK = (signal.SIGUSR1, signal.SIGTERM)
_STOPPED = 75  # EX_TEMPFAIL of sysexits.h tells that a job is to be started again.


class StopRequest:
    """A function without arguments: whether this process has been asked to stop.

    It is made for the argument `stop` of `solve`.
    """

    asked: bool
    """Whether a signal has been received."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A context in which SIGUSR1 and SIGTERM do not end the process, but set `StopRequest.asked`.

    Slurm sends them by --signal, at preemption, and by `scancel`. They may arrive repeatedly, as
    launchers forward them; afterwards the former handlers are restored.
    """
    request = StopRequest()
    before = {number: signal.signal(number, request._note) for number in _ASK}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def status_of_stop(environment: Mapping[str, str]) -> int:
    """The exit status of a run that was stopped and is to be started again: 75.

    It is 0 under a torchrun that restarts ranks, as that would restart them for any other status.
    `environment`: as a rule `os.environ`.
    """
    return 0 if int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0")) else _STOPPED
