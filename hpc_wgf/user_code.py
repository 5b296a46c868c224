"""Calls of a user's own functions, and what they return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from .errors import InputError, RunError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
CHANGES_ITS_SAMPLES = (
    "changes the samples that it is given: let it compute new ones, as x = x - 1 in place of x -= 1"
)
"""What is wrong with a function of a user that does."""


def called(what: str, function: Callable[..., T], *arguments: object) -> T:
    """function(*arguments); `what` names the function in errors, e.g. "the module".

    Errors: those that the function raises, Ctrl-C among them; `RunError` in place of all that would
    end the program past every handler of errors, as `sys.exit()` does without a word.
    """
    try:
        return function(*arguments)
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise RunError(f"{what} {ends_the_program(error)}") from error


def ends_the_program(error: BaseException) -> str:
    """What is wrong with code that raises `error`, which is no `Exception`, and what to do."""
    text = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else repr(error)
    return f"ends the program, by {text}: let it raise an exception that says why, as ValueError"


def said(error: BaseException) -> str:
    """What `error` says, on one line: its type, unless it is an error of this package, and the
    first line of its text, as torch adds advice of its own."""
    text = next((line for line in str(error).splitlines() if line.strip()), "").rstrip(". ")
    return text if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {text}"


def takes_time(function: Callable[..., object], what: str) -> bool:
    """Whether a function of a user takes x and t, rather than x alone.

    Errors: `InputError` if it is no function, or takes neither one nor two arguments."""
    if not callable(function):
        raise InputError(f"{what} is {function!r:.80}: give a function of x, or of x and t")
    try:
        # The call of a torch module takes anything, its forward what it is for.
        signature = inspect.signature(getattr(function, "forward", function))
    except (TypeError, ValueError):  # a function without a signature, as one written in C
        return False
    for arguments in (1, 2):
        try:
            signature.bind(*[None] * arguments)
        except TypeError:
            continue
        return arguments == 2
    raise InputError(f"{what} takes {signature}: give a function of x, or of x and t")


def check_values(what: str, value: object, x: Tensor, shape: Sequence[int], meaning: str) -> None:
    """Errors: `InputError` unless `value`, which `what` returned for samples `x`, (n, d), is a
    tensor of this `shape` on the device and in the precision of `x`. `meaning`: what is expected,
    in words."""
    from torch import Tensor  # Run files are read without torch.

    given = f"for samples of shape {tuple(x.shape)}"
    expected = f"expected {meaning}, shape {tuple(shape)}"
    if isinstance(value, tuple | list):
        parts = ", ".join(type(part).__name__ for part in value)
        raise InputError(
            f"{what} returned a {type(value).__name__} of {len(value)} ({parts}) {given}: "
            f"{expected}, and nothing beside: wrap it so that it returns this one"
        )
    if not isinstance(value, Tensor):
        raise InputError(
            f"{what} returned {_a(type(value))} {given}: {expected}, as a torch tensor computed "
            "from the samples by torch functions"
        )
    if tuple(value.shape) != tuple(shape):
        raise InputError(f"{what} returned shape {tuple(value.shape)} {given}: {expected}")
    if value.dtype != x.dtype or value.device != x.device:
        raise InputError(
            f"{what} returned {_kind(value)} for samples in {_kind(x)}: compute in the precision "
            "and on the device of the samples (constants by c.to(x), layers by module.to(x))"
        )


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"


def _a(kind: type) -> str:
    if kind is type(None):
        return "None"
    return f"a {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
