"""Standard streams as one is given them: closed, of any encoding, or a pipe whose reader leaves."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

from .errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 10_000  # columns, more than any line has
_PLAIN = "hpc_wgf.plain"
_AS_ASCII = {"–": "-", "−": "-", "·": "*", "→": "->", "≤": "<=", "≥": ">=", "‖": "|", "∞": "inf"}


def settle_streams() -> None:
    """Make standard streams safe to print on, for the whole of a program.

    One that is closed is opened to nowhere. Characters that its encoding does not have are written
    by similar ones of ASCII. What is written to a pipe whose reader has left is dropped, and
    what standard error cannot take, so that a run goes on without its log."""
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # A file opened later must not become a standard stream of C libraries.
    os.close(free)
    codecs.register_error(_PLAIN, _similar)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif type(stream) is io.TextIOWrapper and stream.fileno() == number:
            setattr(sys, name, _lasting(stream, number))


def output_console() -> Console:
    """A console of rich on standard output, where no terminal is never too narrow for a number."""
    from rich.console import Console

    made = Console()
    return made if made.is_terminal else Console(width=_WIDE)


def _lasting(stream: io.TextIOWrapper, number: int) -> io.TextIOWrapper:
    """The same stream, on which printing never fails for its encoding or a broken pipe."""
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(number, "w", closefd=False)),
        encoding=stream.encoding, errors=_PLAIN,
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip


class _Lasting(io.FileIO):
    """Standard output or error, which once it has failed takes what is written and drops it."""

    _failed = False

    def write(self, data: Any) -> int:
        """Errors: `RunError` at the first write to standard output that fails, but where a reader
        has left."""
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                raise RunError(f"cannot write to standard output: {error.strerror}") from error
            return len(data)


def _similar(error: UnicodeError) -> tuple[str, int]:
    """ASCII for the characters that an encoding does not have, as a handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(map(_ascii, characters)), error.end


def _ascii(character: str) -> str:
    if character in _AS_ASCII:
        return _AS_ASCII[character]
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"
