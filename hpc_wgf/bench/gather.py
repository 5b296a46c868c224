"""One record of several, with what tests have found on the same machine.

Usage: python -m hpc_wgf.bench.gather OUT.json TESTS.xml FIRST.json [FURTHER.json …]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree


def gathered(tests: Path, records: Sequence[Path]) -> dict[str, Any]:
    """The first record, under "further" the others by the stems of their files, and under "tests"
    the figures of a file of `pytest --junit-xml`."""
    first, *others = ((path.stem, json.loads(path.read_text("utf-8"))) for path in records)
    return {**first[1], "further": dict(others), "tests": outcome(tests)}


def outcome(tests: Path) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, and the names of those that failed."""
    passed, skipped, failed = 0, 0, []
    for case in ElementTree.parse(tests).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.attrib["name"])
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return {"passed": passed, "failed": len(failed), "skipped": skipped, "failures": failed}


if __name__ == "__main__":
    out, tests, *records = map(Path, sys.argv[1:])
    out.parent.mkdir(parents=True, exist_ok=True)
    whole = json.dumps(gathered(tests, records), indent=2, allow_nan=False)
    out.write_text(whole + "\n", encoding="utf-8")
