"""Generated sections of a page: what stands between two comments that readers do not see.

<!-- begin: NAME -->
… generated …
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ..errors import InputError

_SECTION = re.compile(r"<!-- begin: (?P<name>\S+) -->\n.*?<!-- end -->", re.DOTALL)


def filled(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """`text` with every generated section written anew by the function of its name.

    Errors: `InputError` for a section that no function writes.
    """

    def write(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in sections:
            raise InputError(f"nothing writes the section {name!r}: known are {sorted(sections)}")
        return f"<!-- begin: {name} -->\n{sections[name]().strip()}\n<!-- end -->"

    return _SECTION.sub(write, text)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|").replace("\n", " ")
