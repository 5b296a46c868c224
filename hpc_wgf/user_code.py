"""Calls of a user's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .errors import RunError

T = TypeVar("T")


def called(what: str, function: Callable[..., T], *arguments: object) -> T:
    """function(*arguments), for `what`, as the potential or the module that it computes.

    Errors: those that the function raises, which include Ctrl-C; `RunError` in place of all that
    would end the program past every handler of errors, as `sys.exit()` does without a word."""
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
