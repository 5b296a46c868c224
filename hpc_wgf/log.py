"""The log of the package: Python's logger "hpc_wgf", silent until it is given somewhere to write.

Rows, stops and ends of a run are at level INFO, steps at DEBUG, failures at ERROR; rank 0 logs for
all ranks, a failure the rank that failed first.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOG = logging.getLogger("hpc_wgf")
"""The logger."""
LOG.addHandler(logging.NullHandler())


@contextmanager
def logging_to(path: Path | None, *, verbose: bool = False) -> Iterator[None]:
    """A context in which the log is appended to the file `path`, one line an event with its date
    and time; with `verbose` that of every step too, and all but errors also go to standard error.

    The file is made with the first event. A log that cannot be written does not end a run."""
    handlers: list[logging.Handler] = [] if path is None else [_File(path, "a", "utf-8", True)]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[-1].addFilter(lambda record: record.levelno < logging.ERROR)
    before = LOG.level
    if handlers:
        LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    for handler in handlers:
        handler.setFormatter(_OneLine("%(asctime)s  %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
        LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.setLevel(before)
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(super().format(record).split("\n"))


class _File(logging.FileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        return
