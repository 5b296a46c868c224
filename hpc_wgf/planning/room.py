"""What a job holds on a rank, and the largest n for which it has room there."""

from __future__ import annotations

import math

from .devices import Device
from .memory import Phase, budget, peak
from .memory_model import MemoryModel
from .partition import Job, Partition

_MOST_SAMPLES = 1 << 44


class Room:
    """A job on ranks with one kind of device each, which has `available` bytes for a rank."""

    def __init__(self, job: Job, device: Device, available: int, model: MemoryModel) -> None:
        self.job, self.device, self.available, self.model = job, device, available, model
        self.limit = budget(job, device)

    def peak(self, partition: Partition, made: float) -> Phase:
        """The part of a step in which the rank with most samples holds most, with what it holds.
        `made`: preconditioners made in a step."""
        return peak(self.model, partition, self.device, self.limit, made)

    def partition(self, job: Job, ranks: int) -> Partition:
        """The samples of the rank that has most of them."""
        return job.partition(ranks, self.device.torch_device)

    def largest_samples(self, ranks: int, made: float) -> int:
        """The largest n, to three digits, with which no rank exceeds its memory; 0 for no n."""

        def fits(samples: int) -> bool:
            partition = self.partition(self.job.of_samples(samples), ranks)
            return self.peak(partition, made).total <= self.available

        options = self.job.options
        # Every rank needs a block, also of the second sample, which may be smaller.
        low = math.ceil((options.block or 32) * ranks / min(1.0, options.validation or 1.0))
        if not fits(low):
            return 0
        while low < _MOST_SAMPLES and fits(2 * low):
            low *= 2
        step = low // 2
        while step > low // 1000:
            low += step if fits(low + step) else 0
            step //= 2
        return low
