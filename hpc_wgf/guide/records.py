"""The records under `data/`: reports of named problems, and benchmarks.

They are files of the checkout, not of the package, which holds the pages that were made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


def records(folder: Path) -> dict[str, Record]:
    """The JSON records of a folder by the stem of their file, in alphabetical order but for
    numbers, which are in their own."""
    paths = sorted(folder.glob("*.json"), key=lambda path: _natural(path.stem))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def run_command(name: str, record: Record) -> str:
    """The command that solves what a report is of and records it anew."""
    problem = record["problem"]
    setting = "" if name == problem else f":problem.dimension={record['dimension']}"
    return f"RANKS={record['ranks']} bash launch/record.sh {problem}{setting}"


def bench_command(record: Record) -> str:
    """The command line of a benchmark's record, with all of its options."""
    options = dict(record["configuration"])
    name, ranks = options.pop("benchmark"), int(options.pop("ranks"))
    program = "hpc-wgf"
    if ranks > 1:
        program = f"torchrun --standalone --nproc-per-node {ranks} -m hpc_wgf"
    first = {"methods": "problem", "rivals": "problem", "run": "name"}.get(name)
    named = [] if first is None else [options.pop(first)]
    words = [str(value) for given in named for value in _all(given)]
    words += [
        f"{_option(key)} {value}"
        for key, given in options.items()
        if not isinstance(given, bool)
        for value in _all(given)
    ]
    flags = {key: given for key, given in options.items() if isinstance(given, bool)}
    words += [f"--{key}" if on else f"--no-{key}" for key, on in flags.items()]
    return " ".join([f"{program} bench {name}", *words])


def machine_line(record: Record) -> str:
    """Processor, cores and threads of a benchmark's record, and the versions that it ran."""
    machine = record["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread a rank"
    if machine["device"] != "cpu":
        where += f", {machine['device']}"
    return f"{where}; {versions_line(record)}"


def versions_line(record: Record) -> str:
    """Name and version of all that took part."""
    return ", ".join(f"{name} {version}" for name, version in record["versions"].items())


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts "a-2d" before "a-15d"."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _option(key: str) -> str:
    """The option of `hpc-wgf bench` that a key of a configuration was given by."""
    names = {"settings": "--set", "paper": "--set-paper", "on_ranks": "--ranks"}
    return names.get(key, "--" + key.replace("_", "-"))


def _all(given: Any) -> list[Any]:
    """The values of an option: several where it may be repeated, none where it was left out."""
    if isinstance(given, list):
        return given
    return [] if given is None else [given]
