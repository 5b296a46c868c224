"""Stated constants of the devices that a run is planned for.

Rates and bandwidths of GPUs are those of the vendor's data sheets (NVIDIA A100, H100 SXM, H200 SXM;
without sparsity); those of the CPU were measured with `hpc-wgf bench product` on one core of a
server. `share` and all figures of factorisations, calls and links are assumptions, some of which a
record of `hpc-wgf bench scaling` replaces (see `calibrated`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import InputError
from ..memory import machine_memory

if TYPE_CHECKING:
    import torch

_GIB = 2**30


@dataclass(frozen=True)
class Link:
    """A connection of two ranks."""

    latency: float
    """Seconds that a message takes whatever its length."""
    bandwidth: float
    """Bytes a second in each direction."""


@dataclass(frozen=True)
class Device:
    """What one rank computes with: a GPU, or a core of a CPU."""

    name: str
    """The name on the command line."""
    memory: int | None
    """Bytes of a GPU; None for a CPU, whose ranks on a node share as much as this machine has."""
    base: int
    """Bytes that a rank takes before it holds samples."""
    fp64: float
    """Peak rate of matrix products in float64, operations a second."""
    fp32: float
    """Peak rate of matrix products in float32, operations a second."""
    tf32: float
    """Peak rate of matrix products in TensorFloat-32, operations a second."""
    share: float
    """Fraction of the peak rate that the solver's matrix products reach."""
    bandwidth: float
    """Bytes a second that operations other than matrix products read and write."""
    product_bandwidth: float
    """Bytes a second that matrix products read and write: on a GPU those of its memory, on a CPU
    those of the cache, in which a chunk of samples lies."""
    matrices: float
    """Small matrices a second that are factored where their operations cost nothing."""
    matrix_share: float
    """Fraction of the rate of matrix products that factorisations of small matrices reach."""
    call: float
    """Seconds to start an operation."""
    inside: Link
    """The link of two ranks on one node."""
    between: Link
    """The link of two ranks on different nodes."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.memory is not None

    @cached_property
    def torch_device(self) -> torch.device:
        """The device as torch calls it, "cuda" or "cpu"."""
        import torch

        return torch.device("cuda" if self.is_gpu else "cpu")

    def rate(self, dtype: torch.dtype, *, tf32: bool) -> float:
        """Operations a second that matrix products of `dtype` reach; `tf32`: as in the options."""
        best = self.fp64 if dtype.itemsize == 8 else self.tf32 if tf32 else self.fp32
        return self.share * best

    def memory_of_a_rank(self, ranks_per_node: int) -> int:
        """Bytes that a rank may take where a node has so many."""
        return machine_memory() // ranks_per_node if self.memory is None else self.memory


# The CUDA context, the buffers of NCCL and the workspaces of cuBLAS take about 1.5 GiB of a GPU.
_GPU_BASE = 3 * _GIB // 2
# 200 and 400 Gbit/s a GPU; the latency is that of one level of NCCL's tree.
_INFINIBAND_HDR, _INFINIBAND_NDR = Link(1e-5, 25e9), Link(1e-5, 50e9)


def _gpu(
    name: str, gib: int, rates: tuple[float, float, float], bandwidth: float, nvlink: float,
    between: Link,
) -> Device:  # fmt: skip
    fp64, fp32, tf32 = rates
    return Device(
        name=name, memory=gib * _GIB, base=_GPU_BASE, fp64=fp64, fp32=fp32, tf32=tf32, share=0.6,
        bandwidth=0.8 * bandwidth, product_bandwidth=0.8 * bandwidth,
        matrices=1e8, matrix_share=0.05, call=5e-6,
        inside=Link(1e-5, nvlink), between=between,
    )  # fmt: skip


_A100 = (19.5e12, 19.5e12, 156e12)  # fp64 on tensor cores, fp32, TF32
_HOPPER = (67e12, 67e12, 494e12)
_KNOWN = (
    _gpu("a100-40", 40, _A100, 1.555e12, 300e9, _INFINIBAND_HDR),
    _gpu("a100-80", 80, _A100, 2.039e12, 300e9, _INFINIBAND_HDR),
    _gpu("h100", 80, _HOPPER, 3.35e12, 450e9, _INFINIBAND_NDR),
    _gpu("h200", 141, _HOPPER, 4.8e12, 450e9, _INFINIBAND_NDR),
    Device(
        name="cpu",
        memory=None,
        base=285 * 2**20,  # peak of `hpc-wgf run` with 64 samples, torch 2.13 on Linux
        fp64=36e9,
        fp32=72e9,
        tf32=72e9,
        share=0.9,
        bandwidth=8e9,  # In GB/s: tanh in a core's cache 2 to 3, sums there 100, main memory 16.
        product_bandwidth=100e9,
        matrices=3e6,
        matrix_share=0.06,
        call=4e-6,
        inside=Link(1e-4, 2e9),  # gloo over the loopback device
        between=Link(2e-4, 1.2e9),  # gloo over 10 Gbit/s Ethernet
    ),
)
DEVICES = {device.name: device for device in _KNOWN}
"""All devices by name."""


def device_named(name: str) -> Device:
    """The device of that name. Errors: `InputError` with the nearest known name."""
    if name not in DEVICES:
        nearest = difflib.get_close_matches(name, DEVICES, n=1, cutoff=0.3)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise InputError(f"there is no device {name!r}: {hint}Known are {', '.join(DEVICES)}")
    return DEVICES[name]
