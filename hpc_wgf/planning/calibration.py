"""Devices with constants as measured by `hpc-wgf bench scaling --over ranks`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .devices import Device, Link
from .seconds import Nodes, all_reduce

_NEEDED = ("value", "seconds", "seconds_all_reduce", "parameters", "flops", "bytes_moved",
           "matmul_gflops")  # fmt: skip


def calibrated(device: Device, path: Path) -> Device:
    """The device with the constants that follow from a record of `hpc-wgf bench scaling`.

    They are the rate of matrix products, the bandwidth of all other operations, and latency and
    bandwidth of the links inside a node. Links between nodes are corrected by the same factor.

    Errors: `InputError` where `path` is not such a record, or is one of another kind of device.
    """
    rows, on_gpu = _read(path)
    if on_gpu != device.is_gpu:
        raise InputError(
            f"{path} was recorded on a {'GPU' if on_gpu else 'CPU'}, which says nothing of "
            f"{device.name}: leave --calibration out, or record one there"
        )
    first, last = min(rows, key=_ranks), max(rows, key=_ranks)
    return _with_links(_with_rates(device, first), last)


def _ranks(row: dict[str, Any]) -> int:
    return int(row["value"])


def _with_rates(device: Device, row: dict[str, Any]) -> Device:
    """Rate and bandwidth by T = flops/rate + moved/bandwidth; `row`: that of the fewest ranks. What
    matrix products move is in `moved` too, so that nothing else holds them up."""
    rate = 1e9 * row["matmul_gflops"]
    rest = row["seconds"] - row["seconds_all_reduce"] - row["flops"] / rate
    faster = rate / device.rate(torch.float64, tf32=False)
    return replace(
        device,
        share=device.share * faster,
        bandwidth=row["bytes_moved"] / rest if rest > 0 else device.bandwidth,
        product_bandwidth=math.inf if rest > 0 else device.product_bandwidth,
    )


def _with_links(device: Device, row: dict[str, Any]) -> Device:
    """Links by which an all-reduce takes as long as in `row`, that of the most ranks."""
    ranks = _ranks(row)
    stated = all_reduce(8.0 * row["parameters"], device, Nodes(ranks, ranks))
    if stated == 0.0:
        return device
    slower = row["seconds_all_reduce"] / stated

    def found(link: Link) -> Link:
        return Link(link.latency * slower, link.bandwidth / slower)

    return replace(device, inside=found(device.inside), between=found(device.between))


def _read(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a record, and whether they were measured on a GPU."""
    advice = "write one with: hpc-wgf bench scaling --over ranks --value 1 --value 2 --out FILE"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in record["rows"] if row["over"] == "ranks"]
        on_gpu = record["machine"]["device"] != "cpu"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no record of hpc-wgf bench scaling: {advice}") from error
    whole = [row for row in rows if all(row.get(key) is not None for key in _NEEDED)]
    if not whole:
        raise InputError(
            f"{path} has no row over ranks with {', '.join(_NEEDED)}, as older records and those "
            f"over samples: {advice}"
        )
    return whole, on_gpu
