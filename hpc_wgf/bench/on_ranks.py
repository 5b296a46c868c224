"""A program for a launcher: times products of one case on all ranks and prints a JSON object.

Usage: torchrun --nproc-per-node 2 -m hpc_wgf.bench.on_ranks CASE SAMPLES PRODUCTS DEVICE
"""

from __future__ import annotations

import json
import sys

import torch

from ..gpu import availability
from ..parallel import distributed
from ..profiling.machine import matmul_rate, peak_mebibytes, square_products
from ..profiling.timing import interleaved
from ..profiling.tracing import traced
from .cases import assembled, case_named


def main(case: str, samples: int, products: int, device: str) -> None:
    """Time products with Ĝ, and as many all-reduces alone, and print the figures on rank 0.

    Seconds are medians, the largest of all ranks. All other figures are those of rank 0: memory,
    work of a product, rate of matrix products.
    """
    with distributed(device) as communicator:
        on = communicator.device
        _, system = assembled(case_named(case), samples, torch.float64, communicator)
        v = torch.ones_like(system.b)
        calls = {
            "seconds": lambda: system.gram.matvec(v),
            "seconds_all_reduce": lambda: communicator.sum(v.clone()),
        }
        times = interleaved(calls, products, on)
        squares = interleaved(square_products(torch.float64, on), products, on)
        with availability.unused():
            work = traced(lambda: system.gram.matvec(v)).work
        slowest = {name: max(communicator.gather(found.median)) for name, found in times.items()}
        if communicator.rank == 0:
            found = {
                **slowest,
                "parameters": len(v),
                "peak_mebibytes": peak_mebibytes(),
                "flops": work.flops,
                "bytes_moved": work.moved,
                "matmul_gflops": matmul_rate(squares, on) / 1e9,
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
