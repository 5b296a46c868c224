"""Errors on which a user can act: each says what was given, what is expected, and what to do."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class WgfError(Exception):
    """Base class of the errors that the package reports to its user."""


class InputError(WgfError, ValueError):
    """The input is invalid. Raised before anything is computed or written."""


class RunError(WgfError, RuntimeError):
    """A run that has begun cannot continue. Every row already committed to the store stays
    readable."""


class LoopError(RunError):
    """The steps of a run cannot go on, as its ranks find out together: each of them raises this at
    the same place."""


class StoppedEarly(WgfError):
    """A run was asked to stop before it had begun, while pilots were looking for its settings."""


class CommunicationError(WgfError, RuntimeError):
    """A collective operation failed because another rank has ended. The cause is to be sought in
    the messages of that rank."""


class PlaceError(InputError):
    """The resources of this node, as its number of GPUs, do not allow what was asked for. Other
    nodes may differ."""


class MissingRankError(InputError):
    """A rank was not met, so that rank 0 does not speak for all."""


class WgfWarning(UserWarning):
    """What a user should know before a run: it is shown beside its progress, or else by Python's
    warnings, and stored with the run."""


_ALLOCATION = r"tried to allocate ([\d.]+) (bytes|[KMGT]iB)"  # torch says so by a RuntimeError
_NO_MEMORY = ("MemoryError", "OutOfMemoryError")


def describe(error: BaseException) -> str:
    """The message of this package's own errors; of others with the type, which tells much. Where
    memory was refused, how much was asked for at once."""
    text = str(error)
    if isinstance(error, WgfError):
        return text
    asked = re.search(_ALLOCATION, text, re.IGNORECASE)
    if asked or type(error).__name__ in _NO_MEMORY:
        much = f", {asked[1]} {asked[2]} at once" if asked else ""
        return (
            f"there is no memory for a tensor that was asked for{much}: take fewer samples, a "
            "smaller map or dimension, or more ranks (hpc-wgf plan tells what a rank holds)"
        )
    return f"{type(error).__name__}: {text}"


def error_line(error: Exception) -> str:
    """What a program says as it ends with an error: for one that is not of this package with its
    type and place. Control characters are escaped."""
    text = describe(error)
    if not isinstance(error, WgfError):
        frames = traceback.extract_tb(error.__traceback__)
        text += f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    # What was given may hold characters that move the cursor of a terminal.
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class StepFailed(Exception):
    """A trial step has failed: det ∇T ≤ 0 at a sample (the map has folded), a value is not finite,
    or a linear solve did not converge.

    It is raised on all ranks alike. The time loop catches it and tries a shorter step, or ends the
    run with a `RunError`."""


class StepUnfinished(Exception):
    """A stop was asked for within a step, which can be gone on with from `memory`: arrays by their
    names, the same on every rank. It is raised on all ranks alike; the time loop keeps them in the
    run's checkpoint, beside the state at which the step began."""

    def __init__(self, memory: Mapping[str, np.ndarray]) -> None:
        super().__init__("a stop was asked for within a step")
        self.memory = memory
