"""The pages by name."""

from __future__ import annotations

import difflib
import re
from importlib.resources import files

from ..errors import InputError

NAMES = (
    "tutorial", "method", "choosing", "alternatives", "maps", "run-file", "accuracy",
    "performance", "cluster", "planning", "store", "extending", "limits",
)  # fmt: skip
"""All pages, in the order in which a new user would read them."""

_KEYS = re.compile(r"^<!-- keys: .*-->$", re.MULTILINE)
_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    """The Markdown of a page; the keys of run files come from their tables as it is asked for.

    Errors: `InputError` with the nearest known name where there is no such page.
    """
    return _KEYS.sub(lambda _: _keys(), _text(name))


def _text(name: str) -> str:
    """A page without the keys of run files. Errors: as `page`."""
    if name not in NAMES:
        nearest = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise InputError(f"there is no page {name!r}: {hint}Pages: {', '.join(NAMES)}")
    return (files("hpc_wgf") / "guide" / f"{name}.md").read_text(encoding="utf-8")


def _keys() -> str:
    from .keys import keys_of_run_files  # All tables are made for it.

    return keys_of_run_files()


def summary_line(name: str) -> str:
    """What a page is about, from its title "# NAME — summary"."""
    return _text(name).partition("\n")[0].partition(" — ")[2]


def without_comments(markdown: str) -> str:
    """The text without its HTML comments, which are there for tests and generators."""
    return _COMMENT.sub("", markdown)
