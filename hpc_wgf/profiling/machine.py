"""The machine on which figures are measured, and the rate at which it multiplies matrices."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from .timing import Call, Times

_SIDE_CPU, _SIDE_GPU = 1024, 8192


def described(device: torch.device) -> dict[str, object]:
    """What a record says of the machine: `cores` that this process may use, `cpu` (its model),
    `threads` of torch, and `device`, the name of the GPU or "cpu"."""
    on_gpu = device.type == "cuda"
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
    }


def versions() -> dict[str, str]:
    """Versions of this package, of torch, numpy and zarr, and of Python, by name."""
    names = ("hpc-wgf", "torch", "numpy", "zarr")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def square_products(dtype: torch.dtype, device: torch.device) -> dict[str, Call]:
    """Calls that multiply square matrices, by name: of M rows once, of M/4 rows 64 times.

    Each call takes 2 M³ floating-point operations, M = `side(device)`.
    """
    sides = (side(device) // 4, side(device))
    return {f"{m} x {m}": _square_product(m, side(device), dtype, device) for m in sides}


def side(device: torch.device) -> int:
    """M, the rows of the largest matrices whose product is timed: 8192 on a GPU, else 1024."""
    return _SIDE_GPU if device.type == "cuda" else _SIDE_CPU


def matmul_rate(times: Mapping[str, Times], device: torch.device) -> float:
    """Floating-point operations a second of the fastest of `square_products`.

    `times`: those of its calls, by their names; others are ignored.
    """
    sides = [name for name in times if " x " in name]
    return 2.0 * side(device) ** 3 / min(times[name].median for name in sides)


_STREAM = 1 << 23  # numbers of each of three vectors, 64 MiB: no cache holds them


def stream(device: torch.device) -> Call:
    """A call that adds two vectors of 2²³ numbers in float64: 3 · 64 MiB from and to memory (the
    sum of J. McCalpin's STREAM)."""
    a, b, out = (torch.ones(_STREAM, dtype=torch.float64, device=device) for _ in range(3))
    return lambda: torch.add(a, b, out=out)


def bandwidth(times: Times) -> float:
    """Bytes a second of `stream`."""
    return 3.0 * 8.0 * _STREAM / times.median


def _square_product(m: int, largest: int, dtype: torch.dtype, device: torch.device) -> Call:
    a, b, out = (torch.randn(m, m, dtype=dtype, device=device) for _ in range(3))
    times = (largest // m) ** 3

    def multiply() -> None:
        for _ in range(times):
            torch.mm(a, b, out=out)

    return multiply


def seconds_since_start() -> float:
    """Seconds since this process was started, to a hundredth; 0 where no /proc tells."""
    status = Path("/proc/self/stat")
    if not status.exists():
        return 0.0
    # The name of the program, in parentheses, may hold spaces.
    begun = float(status.read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun


def peak_mebibytes() -> float:
    """The most memory that this process has held so far, in MiB, the interpreter included.

    On Linux it is read from /proc, since getrusage may count the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
