"""Run on ranks: named problems by `solve`, one after the other in one start.

Usage: several_runs.py RUNS.json, an object of {STORE: [NAME, A.B=VALUE, …]}
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from hpc_wgf.config import build, load
from hpc_wgf.metric import shared_blocks
from hpc_wgf.parallel import distributed
from hpc_wgf.solution import solve

shared_blocks._LARGE = 1  # Blocks by outputs stay with one rank each, as large ones do.


def main(runs: dict[str, list[str]]) -> None:
    with distributed("cpu") as communicator:
        for store, (name, *settings) in runs.items():
            run_file = load(name, settings)
            solve(
                *build(run_file),
                replace(run_file.output, path=store),
                communicator=communicator,
            )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
