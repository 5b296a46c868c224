"""Seconds of a product with Ĝ over the number of ranks, each of which is launched in turn."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .cases import case_named
from .launching import launched, refuse_launched
from .record import Row

_PRODUCTS = 5  # timed in every launch
_PATIENCE = 600.0  # seconds
# Figures for `hpc-wgf plan --calibration`. Flops and bytes moved are those of a product on rank 0.
_FOR_PLANS = ("seconds_all_reduce", "flops", "bytes_moved", "matmul_gflops")


def rows(ranks: Sequence[int], case: str, samples: int, rounds: int, device: str) -> list[Row]:
    """One row for each number of ranks; its `ratio` is the speed over that of the first number.

    `samples`: n of all ranks together. Errors: `InputError` for an unknown case or if this process
    was itself started by a launcher, `RunError` where a launch fails.
    """
    case_named(case)
    refuse_launched()
    found: dict[int, list[Row]] = {number: [] for number in ranks}
    for _ in range(rounds):
        for number in ranks:
            found[number].append(_launched(number, case, samples, device))
    seconds = {
        number: statistics.median(each["seconds"] for each in launches)
        for number, launches in found.items()
    }
    first = seconds[ranks[0]]
    return [
        _row(number, found[number][0], seconds[number], first / seconds[number], samples)
        for number in ranks
    ]


def _row(ranks: int, launch: Row, seconds: float, ratio: float, samples: int) -> Row:
    return {
        "over": "ranks",
        "value": ranks,
        "seconds": seconds,
        "exponent": None,
        "ratio": ratio,
        "peak_mebibytes": launch["peak_mebibytes"],
        "samples": samples,
        "parameters": launch["parameters"],
        "products": 1.0,
        "seconds_a_product": seconds,
        "all_reduce_share": launch["seconds_all_reduce"] / launch["seconds"],
        **{key: launch.get(key) for key in _FOR_PLANS},
    }


def _launched(ranks: int, case: str, samples: int, device: str) -> Row:
    arguments = [case, str(samples), str(_PRODUCTS), device]
    return launched("on_ranks", ranks, arguments, patience=_PATIENCE)
