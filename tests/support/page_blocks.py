"""The blocks of code of a page, with the comments before them that readers do not see."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_MARK = re.compile(r"<!-- (.*?) -->$")
_VARIABLE = re.compile(r"[A-Z_]+=.*")


@dataclass(frozen=True)
class Block:
    """A fenced block: `language`, `body`, `line` of its first line, and its marks: "long" (it is
    only parsed) and "file: NAME" (it is written to that file, for the blocks after it)."""

    language: str
    body: str
    line: int
    marks: frozenset[str]

    @property
    def is_long(self) -> bool:
        return "long" in self.marks

    @property
    def file(self) -> str | None:
        named = [mark.removeprefix("file: ") for mark in self.marks if mark.startswith("file: ")]
        return named[0] if named else None


@dataclass(frozen=True)
class Command:
    """A line of a shell: its words, the file that its output goes to, if any, and its line."""

    words: list[str]
    target: str | None
    line: int

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found: list[Block] = []
    marks: set[str] = set()
    inside: list[str] | None = None
    language, start = "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if inside is not None:
            if line == "```":
                found.append(Block(language, "\n".join(inside) + "\n", start, frozenset(marks)))
                inside, marks = None, set()
            else:
                inside.append(line)
        elif line.startswith("```"):
            language, start, inside = line[3:].strip(), number + 1, []
        elif mark := _MARK.match(line):
            marks.add(mark[1])
        elif line.strip():
            marks = set()
        assert "```" not in line or not line.startswith(" "), f"{page}:{number}: an indented block"
    assert inside is None, f"{page}: the block from line {start} is not closed"
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a block of ```bash (every line) or ```console (lines that begin with $)."""
    found = []
    body = block.body.replace("\\\n", "  ")
    for offset, line in enumerate(body.splitlines()):
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        words = shlex.split(line, comments=True)
        while words and _VARIABLE.fullmatch(words[0]):
            del words[0]
        if words:
            found.append(_with_target(words, block.line + offset))
    return found


def _with_target(words: list[str], line: int) -> Command:
    if ">" not in words:
        return Command(words, None, line)
    at = words.index(">")
    return Command(words[:at], words[at + 1], line)
