"""Times of several calls taken in turn, so that what else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of one call, a number for each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        return min(self.seconds)


def interleaved(
    calls: Mapping[str, Call], rounds: int, device: torch.device, *, repeats: int = 1,
    warm_up: bool = True,
) -> dict[str, Times]:  # fmt: skip
    """Rounds A B C A B C …, each call `repeats` times in a row and its mean taken, as caches are
    warm within a solve. With `warm_up`, a round before them is not counted."""
    if warm_up:
        for call in calls.values():
            call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(seconds_of(call, device, repeats))
    return {name: Times(tuple(seconds)) for name, seconds in found.items()}


def seconds_of(call: Call, device: torch.device, repeats: int = 1) -> float:
    """Seconds of a call, by the clock or on a GPU by its events; all work of `call` included."""
    if device.type == "cuda":
        return _seconds_on_gpu(call, device, repeats)
    begun = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begun) / repeats


def _seconds_on_gpu(call: Call, device: torch.device, repeats: int) -> float:
    torch.cuda.synchronize(device)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1000 / repeats
