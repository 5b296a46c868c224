"""Run under a launcher: times products of one case on all ranks and prints a JSON object.

Usage: torchrun --nproc-per-node 2 -m hpc_wgf.bench.on_ranks CASE SAMPLES PRODUCTS DEVICE
"""

from __future__ import annotations

import json
import sys

import torch

from ..ranks import ranks
from .cases import assembled, case_named
from .machine import peak_mebibytes
from .timing import interleaved


def main(case: str, samples: int, products: int, device: str) -> None:
    """Medians over the products and over as many all-reduces alone, the largest of all ranks; the
    peak is the first rank's."""
    with ranks(device) as communicator:
        _, system = assembled(case_named(case), samples, torch.float64, communicator)
        v = torch.ones_like(system.b)
        calls = {
            "seconds": lambda: system.gram.matvec(v),
            "seconds_all_reduce": lambda: communicator.sum(v.clone()),
        }
        times = interleaved(calls, products, communicator.device)
        slowest = {name: max(communicator.gather(found.median)) for name, found in times.items()}
        if communicator.rank == 0:
            found = {**slowest, "parameters": len(v), "peak_mebibytes": peak_mebibytes()}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
