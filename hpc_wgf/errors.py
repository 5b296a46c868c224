"""Errors on which a user can act: each says what was given, what is expected, and what to do."""

import traceback


class WgfError(Exception):
    """Base class of the errors that the package reports to its user."""


class InputError(WgfError, ValueError):
    """The input is invalid. Raised before anything is computed or written."""


class RunError(WgfError, RuntimeError):
    """A run that has begun cannot continue. Every row already committed to the store stays
    readable."""


class CommunicationError(WgfError, RuntimeError):
    """A collective operation failed because another rank has ended. The cause is to be sought in
    the messages of that rank."""


class PlaceError(InputError):
    """The resources of this node, as its number of GPUs, do not allow what was asked for. Other
    nodes may differ."""


_NO_MEMORY = ("can't allocate memory", "out of memory")  # torch says so by a RuntimeError


def error_line(error: Exception) -> str:
    """What a program says as it ends with an error: for one that is not of this package with its
    type and place. Control characters are escaped."""
    text = str(error)
    if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        first = text.partition("\n")[0]
        text = f"not enough memory: take fewer samples, a smaller map or more ranks ({first})"
    elif not isinstance(error, WgfError):
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        text = f"{type(error).__name__}: {text}{place}"
    # What was given may hold characters that move the cursor of a terminal.
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class StepFailed(Exception):
    """A trial step has failed: det ∇T ≤ 0 at a sample (the map has folded), a value is not finite,
    or a linear solve did not converge.

    It is raised on all ranks alike. The time loop catches it and tries a shorter step, or ends the
    run with a `RunError`."""
