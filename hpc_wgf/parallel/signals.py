"""The signals by which a scheduler or a person at the keyboard asks a job to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from types import FrameType

_ASK = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
_ONCE = 1.0  # seconds within which one Ctrl-C may arrive repeatedly, as launchers forward it
_HINT = b"\nstopping after this step; Ctrl-C again ends the run at once, without a checkpoint\n"
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
def stop_request(*, speaks: bool = False) -> Iterator[StopRequest]:
    """A context in which SIGUSR1, SIGTERM and SIGINT do not end the process, but set
    `StopRequest.asked`. A second SIGINT, a second or more after the first, ends it at once.

    Slurm sends the former by --signal, at preemption, and by `scancel`; Ctrl-C sends SIGINT, which
    stays without effect where it had none before (as under nohup). They may arrive repeatedly, as
    launchers forward them; afterwards the former handlers are restored. `speaks`: whether this
    process says on standard error what a second SIGINT does.
    """
    request = StopRequest()
    # Launch scripts start ranks that ignore SIGUSR1, until they can hear it here.
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    asks = [each for each in _ASK if not (deaf and each == signal.SIGINT)]
    before = {number: signal.signal(number, request._note) for number in asks}
    try:
        with _watched(_Interrupts(speaks)):
            yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Interrupts:
    """Answers the first SIGINT in words and ends the process at a second one."""

    def __init__(self, speaks: bool) -> None:
        self._speaks = speaks
        self._first: float | None = None

    def __call__(self, number: int) -> None:
        if number != signal.SIGINT or signal.getsignal(number) is signal.SIG_IGN:
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now
            if self._speaks and sys.stderr is not None:
                os.write(2, _HINT)
        elif now > self._first + _ONCE:
            os._exit(128 + number)


@contextmanager
def _watched(react: Callable[[int], None]) -> Iterator[None]:
    """A context in which a thread of its own hears of every signal that Python handles: also while
    the main thread, on which handlers run, waits for other ranks."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen() -> None:
        while (numbers := os.read(reading, 64)) and 0 not in numbers:
            for number in numbers:
                react(number)

    listener = Thread(target=listen, daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, b"\0")
        listener.join()
        os.close(reading)
        os.close(writing)


def status_of_stop(environment: Mapping[str, str]) -> int:
    """The exit status of a run that was stopped and is to be started again: 75.

    It is 0 under a torchrun that restarts ranks, as that would restart them for any other status.
    `environment`: as a rule `os.environ`.
    """
    return 0 if int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0")) else _STOPPED
