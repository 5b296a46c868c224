"""Saying of a store that it cannot be relied on."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

UNREADABLE = (
    OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    MemoryError,
)  # fmt: skip
"""What the file system, the decompressor, the checksum and Zarr raise where a document or a chunk
is damaged."""

_LONGEST = 200


def in_one_line(error: BaseException) -> str:
    """The message of an error, shortened to a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def damaged(path: Path, what: str) -> InputError:
    """The error for the store at `path`. `what`: what was found."""
    return InputError(
        f"damaged: {path}: {what}. Restore the store from a copy, or run anew into another one"
    )


class Attributes(dict[str, object]):
    """What a store says of its run, by name. Errors: `InputError` for what is missing."""

    def __init__(self, path: Path, values: dict[str, object]) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> object:
        raise damaged(self._path, f"its attribute {name} is missing")
