"""Run on ranks: a named problem by `solve`, with what its first step hands to sums counted.

Usage: planned_run.py RESULT.json STORE NAME [A.B=VALUE …]
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from hpc_wgf.config import build, load
from hpc_wgf.parallel import communicator_from_environment
from hpc_wgf.profiling.machine import peak_mebibytes
from hpc_wgf.solution import solve


class Counting:
    """The communicator with every `sum` counted."""

    def __init__(self, inner) -> None:
        self.inner, self.sizes = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def sum(self, tensor):
        self.sizes.append(tensor.numel() * tensor.element_size())
        return self.inner.sum(tensor)


class FirstStep:
    """Observer: the sums between the first row and the first step, with that step."""

    def __init__(self, counted: Counting) -> None:
        self.counted, self.begun, self.step = counted, None, None

    def on_row(self, row) -> None:
        if self.begun is None:
            self.begun = len(self.counted.sizes)

    def on_step(self, step) -> None:
        if self.step is None:
            self.step, self.sizes = step, self.counted.sizes[self.begun :]

    def on_stop(self, state, memory, seconds) -> None:
        return

    def on_end(self) -> None:
        return


def main(result: str, store: str, name: str, settings: list[str]) -> None:
    run_file = load(name, settings)
    communicator = communicator_from_environment("cpu")
    counted = Counting(communicator)
    seen = FirstStep(counted)
    solve(
        *build(run_file),
        replace(run_file.output, path=store),
        communicator=counted,
        observers=[seen],
    )
    peaks = communicator.gather(peak_mebibytes())
    if communicator.rank == 0:
        found = {
            "ranks": communicator.size,
            "peak_mebibytes": max(peaks),
            "sizes": seen.sizes,
            "products_per_solve": seen.step.products_per_solve,
            "seconds": seen.step.figures["seconds"],
        }
        Path(result).write_text(json.dumps(found))
    communicator.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
