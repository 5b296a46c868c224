"""The cores of this process's node."""

from __future__ import annotations

import os

import torch

from .launcher import find_place


def is_core_idle() -> bool:
    """Whether a core is left to this process besides those of the ranks of its node. Where torch
    has several threads it is taken to have been given all of them."""
    if torch.get_num_threads() > 1 or not hasattr(os, "sched_getaffinity"):
        return False
    return find_place(os.environ).local_size < len(os.sched_getaffinity(0))


def threads_as_of_torch() -> None:
    """Let libraries that are loaded from here on take as many threads as torch."""
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
