"""Kernels as functions of tensors on a CUDA device."""

from __future__ import annotations

import torch
from torch import Tensor


def uniforms(
    begin: int, count: int, coordinates: int, seed: int, purpose: int, step: int,
    device: torch.device,
) -> Tensor:  # fmt: skip
    """Those of `parallel.philox.uniforms` for `count` samples from number `begin` on, (count,
    coordinates) in float64, in one kernel and without a word from the host."""
    from . import random_numbers

    out = torch.empty(count, coordinates, dtype=torch.float64, device=device)
    pairs = (coordinates + 1) // 2
    grid = (-(-count * pairs // random_numbers.BLOCK),)
    random_numbers.uniform_kernel[grid](
        out, begin, count, pairs, coordinates, seed & 0xFFFFFFFF, seed >> 32, purpose, step,
        BLOCK=random_numbers.BLOCK,
    )  # fmt: skip
    return out
