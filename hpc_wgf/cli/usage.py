"""Command lines that do not fit their command, in one line as other wrong input."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import typer

from ..fields import explain

if TYPE_CHECKING:
    from pydantic import ValidationError

# typer's own class for wrong usage, which has no public name.
UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


def usage_line(error: typer.BadParameter) -> str:
    """What is wrong with the command line, and where its options are listed; "" where help has
    been shown in its place."""
    message = " ".join(error.format_message().split()).rstrip(".")
    cause = error.__cause__
    if cause is not None and _is_of_pydantic(cause):  # by which typer checks values
        parameter = getattr(error, "param", None)
        names = [*getattr(parameter, "opts", ()), getattr(parameter, "name", None) or "value"]
        message = explain(names[0], cause.errors()[0]).rstrip(".")
    if not message:
        return ""
    command = error.ctx.command_path if error.ctx is not None else "hpc-wgf"
    return f"{message}: see `{command} --help`"


def _is_of_pydantic(cause: BaseException) -> TypeGuard[ValidationError]:
    from pydantic import ValidationError

    return isinstance(cause, ValidationError)
