"""The machine that the figures are of, and the rate at which it multiplies matrices."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from .timing import Call, Times

_SIDE_CPU, _SIDE_GPU = 1024, 8192


def described(device: torch.device) -> dict[str, object]:
    """Cores that this process may use, the model of the processor, threads of torch, device."""
    on_gpu = device.type == "cuda"
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
    }


def versions() -> dict[str, str]:
    """Of this package, of what it computes with, and of Python."""
    names = ("hpc-wgf", "torch", "numpy", "zarr")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def square_products(dtype: torch.dtype, device: torch.device) -> dict[str, Call]:
    """Products of square matrices, small and large, all of 2 M³ floating-point operations
    altogether, M = `side(device)`."""
    sides = (side(device) // 4, side(device))
    return {f"{m} x {m}": _square_product(m, side(device), dtype, device) for m in sides}


def side(device: torch.device) -> int:
    """M, rows of the largest of the matrices whose product is timed."""
    return _SIDE_GPU if device.type == "cuda" else _SIDE_CPU


def matmul_rate(times: Mapping[str, Times], device: torch.device) -> float:
    """Floating-point operations a second of `square_products`, the faster of them."""
    sides = [name for name in times if " x " in name]
    return 2.0 * side(device) ** 3 / min(times[name].median for name in sides)


def _square_product(m: int, largest: int, dtype: torch.dtype, device: torch.device) -> Call:
    a, b, out = (torch.randn(m, m, dtype=dtype, device=device) for _ in range(3))
    times = (largest // m) ** 3

    def multiply() -> None:
        for _ in range(times):
            torch.mm(a, b, out=out)

    return multiply


def peak_mebibytes() -> float:
    """The most memory that this process has held so far, in MiB, the interpreter included.

    From Linux' own account of the process: getrusage also remembers the process that started it.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
