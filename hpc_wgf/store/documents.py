"""The documents that lie in the folders of the arrays. Only who opens the arrays one by one reads
them, as a writer that cuts a store back, or another program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .damage import UNREADABLE, in_one_line
from .files import read_file
from .metadata import FILE
from .schema import PARAMETER, PARTICLE_TIME, STAGE, STEP, TIME

_GROWING = {TIME, STEP, STAGE, PARAMETER, PARTICLE_TIME}


def array_document(path: Path, name: str, committed: Mapping[str, Any]) -> dict[str, Any]:
    """The document of one array of the store at `path`, which may be longer than the committed one
    where a process was killed before its row counted.

    Errors: `damage.UNREADABLE` where it is not the committed one otherwise.
    """
    found = json.loads(read_file(path / name / FILE))
    if {**found, "shape": None} != {**committed, "shape": None}:
        raise ValueError("it is not the one that was written")
    axes, expected = committed["dimension_names"], committed["shape"]
    for axis, length, least in zip(axes, found["shape"], expected, strict=True):
        if length < least or (length > least and axis not in _GROWING):
            raise ValueError(f"{length} entries along {axis}, {least} expected")
    return dict(found)


def differing_documents(path: Path, committed: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What is wrong with the documents of arrays, by name."""
    flaws = {}
    for name, document in committed.items():
        try:
            array_document(path, name, document)
        except UNREADABLE as error:
            flaws[name] = f"its {FILE} cannot be relied on: {in_one_line(error)}"
    return flaws
