"""A run on several ranks: a failure of any rank ends all of them, with one message."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import (
    CommunicationError,
    InputError,
    MissingRankError,
    PlaceError,
    WgfError,
    error_line,
)
from .communicator import Communicator
from .environment import communicator_from_environment
from .launcher import find_place
from .watch import say

_EXIT_INPUT, _EXIT_RUN = 2, 1


@contextmanager
def distributed(device: str = "auto", comm: str = "auto") -> Iterator[Communicator]:
    """A context with the communicator of this process; an exception in it ends the process.

    `device` (auto, cpu, cuda) and `comm` (auto, torch, mpi) are those of
    `communicator_from_environment`. The rank that fails first prints the reason to standard error;
    the others, whose collectives fail in consequence, end silently. The exit status is 2 for
    `InputError`, else 1. With HPC_WGF_TRACEBACK set in the environment, that rank also prints the
    traceback.
    """
    try:
        communicator = communicator_from_environment(device, comm)
    except InputError as error:
        if _speaks(error):
            print(f"error: {error_line(error)}", file=sys.stderr, flush=True)
        raise SystemExit(_EXIT_INPUT) from error
    try:
        yield communicator
    except Exception as error:
        _say(communicator, error)
        communicator.abort(_EXIT_INPUT if isinstance(error, InputError) else _EXIT_RUN)
    communicator.close()


def _speaks(error: InputError) -> bool:
    """Whether this process prints an error that arose before ranks could communicate.

    Rank 0 prints for all; an error that concerns one node is printed by its first rank, and that
    rank 0 is not there by every other one.
    """
    if isinstance(error, MissingRankError):
        return True
    try:
        place = find_place(os.environ)
    except InputError:  # No process knows which is the first.
        return True
    return (place.local_rank if isinstance(error, PlaceError) else place.rank) == 0


def _say(communicator: Communicator, error: Exception) -> None:
    where = f"rank {communicator.rank}: " if communicator.size > 1 else ""
    if isinstance(error, CommunicationError):
        if communicator.reported_failure(wait=5.0) is not None:
            return  # The rank that has failed prints the reason.
        message = f"{where}lost contact with the other ranks: {error}"
    elif isinstance(error, WgfError):
        message = error_line(error)
    else:
        message = f"{where}{error_line(error)}"
    if communicator.report_failure(message):
        say(message)
        if "HPC_WGF_TRACEBACK" in os.environ:
            traceback.print_exception(error)
