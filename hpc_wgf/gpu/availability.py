"""Whether Triton's kernels are used."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from ..log import LOG

_of_all_ranks = True


def usable(device: torch.device) -> bool:
    """Whether kernels are used on `device`: where they work, there and on all ranks."""
    return _of_all_ranks and works(device)


@contextmanager
def unused() -> Iterator[None]:
    """Torch computes everything inside, where its operations are to be counted."""
    global _of_all_ranks
    before, _of_all_ranks = _of_all_ranks, False
    try:
        yield
    finally:
        _of_all_ranks = before


def works(device: torch.device) -> bool:
    """Whether kernels run on `device`: a CUDA device, Triton installed, and a first kernel that
    works there. Where that fails, as where Triton finds no C compiler, it is said once, and torch
    computes what the kernels would."""
    return device.type == "cuda" and _works(device)


def agree(all_can: bool) -> None:
    """All ranks use kernels or none does: sums that differ in rounding would let one rank end a
    solve before another. `all_can`: whether they work on every rank."""
    global _of_all_ranks
    _of_all_ranks = all_can


@cache
def _works(device: torch.device) -> bool:
    if not torch.cuda.is_available() or importlib.util.find_spec("triton") is None:
        return False
    try:
        from .kernels import uniforms

        torch.cuda.synchronize(device)
        first = uniforms(0, 1, 2, 0, 0, 0, device).tolist()
    except Exception as error:  # Triton, its compiler and the driver raise what they like.
        LOG.warning(f"Triton does not work on {device}, and torch takes its place: {error}")
        return False
    # The words 6627e8d5 e169c58d bc57ac4c 9b00dbd8 of Random123's known answers.
    known = [(0x6627E8D5E169C + 0.5) * 2.0**-52, (0xBC57AC4C9B00D + 0.5) * 2.0**-52]
    if first != [known]:
        LOG.warning(f"a kernel on {device} gave {first} for {known}: torch takes its place")
        return False
    return True
