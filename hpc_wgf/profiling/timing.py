"""Times of several calls taken in turn, so that other load on the machine affects all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Call = Callable[[], object]
"""What is timed: a function without arguments, whose result is ignored."""


@dataclass(frozen=True)
class Times:
    """Seconds that a call takes, measured in several rounds."""

    seconds: tuple[float, ...]
    """One measurement for each round."""

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """The shortest of the rounds."""
        return min(self.seconds)


def interleaved(
    calls: Mapping[str, Call], rounds: int, device: torch.device, *, repeats: int = 1,
    warm_up: bool = True,
) -> dict[str, Times]:  # fmt: skip
    """Times of the calls by name, measured in rounds A B C A B C …

    In a round each call is made `repeats` times in a row, as caches are warm within a solve, and
    the mean is taken. With `warm_up` every call is made once before, which is not counted.
    """
    if warm_up:
        for call in calls.values():
            call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(seconds_of(call, device, repeats))
    return {name: Times(tuple(seconds)) for name, seconds in found.items()}


def seconds_of(call: Call, device: torch.device, repeats: int = 1) -> float:
    """Mean seconds of `repeats` calls: by the clock, on a GPU by its events, up to the end of the
    work that they have started."""
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
