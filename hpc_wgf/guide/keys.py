"""Every key of a run file as Markdown, from what `hpc-wgf keys` shows."""

from __future__ import annotations

from ..config.keys import DescribedKey, DescribedTable, described


def keys_of_run_files() -> str:
    """A section for every table, in the order of `hpc-wgf keys`."""
    return "\n\n".join(map(_section, described()))


def _section(table: DescribedTable) -> str:
    lines = [_line(key) for key in table.keys if key.name != "kind"]
    body = "\n".join(lines) if lines else "No keys but `kind`."
    return f"### {table.place}\n\n{table.description}\n\n{body}"


def _line(key: DescribedKey) -> str:
    """- `key` (type; default; unit): description"""
    facts = [key.type, key.default_words, *([f"unit {key.unit}"] if key.unit else [])]
    names = " or ".join(f"`{name}`" for name in (key.name, *key.other_names))
    return f"- {names} ({'; '.join(facts)}): {key.description}"
