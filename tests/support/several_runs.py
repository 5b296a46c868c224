"""Run on ranks: named problems by `solve`, one after the other in one start.

Usage: several_runs.py RUNS.json, an object of {STORE: [NAME, A.B=VALUE, …]}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hpc_wgf import build, catalogue
from hpc_wgf.parallel import distributed
from hpc_wgf.solve import solve


def main(runs: dict[str, list[str]]) -> None:
    with distributed("cpu") as communicator:
        for store, (name, *settings) in runs.items():
            run_file = catalogue.load(name, settings)
            solve(
                *build.objects(run_file),
                build.output(run_file.output, store),
                communicator=communicator,
            )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
