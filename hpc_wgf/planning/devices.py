"""Stated constants of the devices that a run is planned for.

Rates and bandwidths are those of the vendor's data sheets (NVIDIA A100, H100 SXM, H200 SXM;
without sparsity), of the CPU those measured with `hpc-wgf bench product` on one core of a server.
`share` and all figures of factorisations, calls and links are assumptions until a record of
`hpc-wgf bench scaling` replaces them (see `calibration`).
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import torch

_GIB = 2**30


@dataclass(frozen=True)
class Link:
    """Between two ranks: `latency` seconds a message, `bandwidth` bytes a second and direction."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Device:
    """What one rank has.

    `memory`: bytes, None for this machine's own, shared by the ranks of a node. `base`: bytes that
    a rank takes before it holds samples. `fp64`, `fp32`, `tf32`: operations a second of matrix
    products at best; `share`: how much of them our products reach. `bandwidth`: bytes a second of
    its memory, for all that is no matrix product. `matrices`: small matrices a second that are
    factored at best, at `matrix_share` of the rate. `call`: seconds to start an operation.
    `inside`, `between`: links of a node and of nodes.
    """

    name: str
    memory: int | None
    base: int
    fp64: float
    fp32: float
    tf32: float
    share: float
    bandwidth: float
    matrices: float
    matrix_share: float
    call: float
    inside: Link
    between: Link

    @property
    def is_gpu(self) -> bool:
        return self.memory is not None

    @cached_property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device("cuda" if self.is_gpu else "cpu")

    def rate(self, dtype: torch.dtype, *, tf32: bool) -> float:
        """Operations a second that matrix products reach."""
        best = self.fp64 if dtype.itemsize == 8 else self.tf32 if tf32 else self.fp32
        return self.share * best

    def memory_of_a_rank(self, ranks_per_node: int) -> int:
        """Bytes that a rank may take."""
        return machine_memory() // ranks_per_node if self.memory is None else self.memory


def machine_memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# Of a GPU's memory the CUDA context, NCCL's buffers and the workspaces of cuBLAS: about 1.5 GiB.
_GPU_BASE = 3 * _GIB // 2
_INFINIBAND_HDR, _INFINIBAND_NDR = Link(2e-5, 25e9), Link(2e-5, 50e9)  # 200, 400 Gbit/s a GPU


def _gpu(
    name: str, gib: int, rates: tuple[float, float, float], bandwidth: float, nvlink: float,
    between: Link,
) -> Device:  # fmt: skip
    fp64, fp32, tf32 = rates
    return Device(
        name=name, memory=gib * _GIB, base=_GPU_BASE, fp64=fp64, fp32=fp32, tf32=tf32, share=0.6,
        bandwidth=0.8 * bandwidth, matrices=1e8, matrix_share=0.05, call=5e-6,
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
        base=275 * 2**20,  # peak of `hpc-wgf run` with 64 samples, torch 2.13 on Linux
        fp64=36e9,
        fp32=72e9,
        tf32=72e9,
        share=0.9,
        bandwidth=8e9,  # tanh and the like in a core's cache 2 to 3, sums 100, main memory 16
        matrices=3e6,
        matrix_share=0.06,
        call=4e-6,
        inside=Link(1e-4, 2e9),  # gloo over the loopback device
        between=Link(2e-4, 1.2e9),  # gloo over 10 Gbit/s Ethernet
    ),
)
DEVICES = {device.name: device for device in _KNOWN}


def device_named(name: str) -> Device:
    """Errors: `InputError` with the nearest known name."""
    if name not in DEVICES:
        nearest = difflib.get_close_matches(name, DEVICES, n=1, cutoff=0.3)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise InputError(f"there is no device {name!r}: {hint}Known are {', '.join(DEVICES)}")
    return DEVICES[name]
