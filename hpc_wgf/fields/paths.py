"""Paths and names as users give them: on this machine's file system, without control characters."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from ..errors import InputError

# A path that pathlib has read has one slash where a URL has two.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Control characters, characters that turn the order of others, half characters, ends of lines.
_NO_TEXT = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_plain_text(text: str) -> bool:
    """Whether a text can stand in one line of a terminal: it has no control characters, no ends of
    lines, and nothing that UTF-8 cannot say."""
    return not any(unicodedata.category(character) in _NO_TEXT for character in text)


def local_path(given: Path | str) -> Path:
    """The path that was given, with the home folder in place of a leading `~`.

    Errors: `InputError` for a URL, for control characters, and for the home of an unknown user.
    """
    text = os.fspath(given)
    if not is_plain_text(text):
        raise InputError(
            f"the path {text!r} has control characters in it: give one of printable characters"
        )
    if _URL.match(text):
        raise InputError(
            f"{text} is a URL: expected a path on a file system of this machine. Copy to it, or "
            "from it, by other means"
        )
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise InputError(f"{text}: the home folder is not known: give the whole path") from error
