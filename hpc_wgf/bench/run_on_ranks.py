"""A program for a launcher: a whole run on all ranks, whose accounts it prints as a JSON object.

Usage: torchrun --nproc-per-node 2 -m hpc_wgf.bench.run_on_ranks NAME SETTINGS DEVICE FOLDER COUNTED
with SETTINGS a JSON list, FOLDER where the store is made, and COUNTED 1 for flops and bytes too.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..accounts import Account, Part
from ..config import build, load
from ..errors import WgfWarning
from ..gpu import availability
from ..parallel import Communicator, distributed
from ..profiling.machine import (
    bandwidth,
    matmul_rate,
    peak_mebibytes,
    seconds_since_start,
    square_products,
    stream,
)
from ..profiling.timing import interleaved
from ..profiling.tracing import WorkByPart
from ..solution import Solution, solve

_ROUNDS = 3  # of the machine's rates


def main(name: str, settings: list[str], device: str, folder: Path, *, counted: bool) -> None:
    """Solve, with a store in `folder`, and print what every rank's account says on rank 0."""
    program = seconds_since_start(), time.process_time()
    with distributed(device) as communicator:
        run_file = load(name, settings)

        def run(path: Path | None) -> Solution:
            output = replace(run_file.output, path=path)
            return solve(*build(run_file), output, communicator=communicator,
                         stages=run_file.stages, configuration=run_file.stored())  # fmt: skip

        account = Account()
        with account.opened(Part.START_UP):
            solution = run(folder / "run.zarr")
        mine = {
            "parts": {part.value: asdict(spent) for part, spent in account.spent().items()},
            "process": account.process_seconds,
            "program": program,
        }
        ranks = communicator.gather(mine)
        found = {
            "ranks": ranks,
            "loop": solution.summary.wall_seconds,
            "time": solution.time,
            "steps": solution.summary.steps,
            "peak_mebibytes": peak_mebibytes(),
            "energy": solution.summary.energy[-1],
        }
        if counted:
            found |= _counted(run, run_file.method.torch_dtype, communicator)
        if communicator.rank == 0:
            print(json.dumps(found), flush=True)


def _counted(
    run: Callable[[Path | None], Solution], dtype: torch.dtype, communicator: Communicator
) -> dict[str, Any]:
    """Flops and bytes of the same run by part, of this rank, and the machine's rates in the
    precision `dtype` of the run."""
    with availability.unused(), WorkByPart() as counter, Account().opened(Part.START_UP):
        run(None)
    calls = {**square_products(dtype, communicator.device),
             "stream": stream(communicator.device)}  # fmt: skip
    times = interleaved(calls, _ROUNDS, communicator.device)
    return {
        "work": {
            part.value: (work.flops + work.matrix_flops, work.products.nbytes + work.moved)
            for part, work in counter.work.items()
        },
        "rates": (matmul_rate(times, communicator.device), bandwidth(times["stream"])),
    }


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WgfWarning)
        main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], Path(sys.argv[4]),
             counted=sys.argv[5] == "1")  # fmt: skip
