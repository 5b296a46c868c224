"""Samples on account of which a step fails: how many, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import StepFailed
from ..parallel import Communicator

CAUSES = ("the map has folded", "positions are not finite", "values are not finite")
FOLDED = 0
"""The place of the first of them."""
MOST_FOLDED = 1e-3
"""Share of new samples at which a map may have folded, as samples from which it was computed have
not: they are left out of expectations, counted and shown."""

_SHOWN = 6  # coordinates of a position
_SAME = 0.1  # difference of log ρ at a sample


def unusable(cloud: Cloud, values: Tensor, *, folded_count: bool) -> Tensor:
    """The samples of a chunk on account of which a step has to be rejected, (3, n) bool, one row
    for each of `CAUSES`.

    They are the samples with det ∇T ≤ 0 (none unless `folded_count`: folding matters only to an
    energy that depends on the density), those whose position is not finite, and those whose row of
    `values`, (n, k), is not finite."""
    folded = ~cloud.unfolded if folded_count else ~cloud.unfolded & False
    lost = ~_finite(cloud.x)
    broken = ~_finite(values) & ~folded
    return torch.stack([folded, lost, broken])


def _finite(rows: Tensor) -> Tensor:
    """Whether all numbers of a row are finite, (n, k) → (n,): x − x is 0 for these alone."""
    return (rows - rows == 0).all(1)


@dataclass(frozen=True)
class FailedSamples:
    """The samples of all ranks that have failed for one cause. The same on every rank."""

    cause: str
    """One of `CAUSES`."""
    count: int
    """How many they are."""
    total: int
    """n, the number of all samples."""
    start: tuple[float, ...]
    """The first of them, (d,), as the active map sees it."""
    position: tuple[float, ...]
    """Its image under the map, (d,)."""
    log_density: float
    """log ρ there, with the absolute value of the determinant where it is not positive; NaN where
    it was not computed."""
    elsewhere: tuple[float, float]
    """Mean and standard deviation of log ρ at the samples that have not failed."""
    ranks: tuple[int, ...] = ()
    """The ranks that hold them, where others hold none and the cause is no fold."""

    @classmethod
    def found(
        cls, cause: int, failed: Sequence[Tensor], before: Sequence[Cloud], after: Sequence[Cloud],
        communicator: Communicator,
    ) -> FailedSamples:  # fmt: skip
        """`cause`: a place in `CAUSES`. `failed`: the samples of every chunk of this rank,
        (n_chunk,) bool. `before`, `after`: the chunks, and their images. Collective."""
        bad = torch.cat(list(failed))
        log_density = torch.cat([cloud.log_density for cloud in after]).double()
        others = log_density[~bad & log_density.isfinite()]
        moments = len(others), float(others.sum()), float(others.square().sum())
        first: Any = None
        if bool(bad.any()):
            k = int(bad.nonzero()[0])
            z, x = (torch.cat([cloud.x for cloud in part])[k] for part in (before, after))
            first = tuple(z.tolist()), tuple(x.tolist()), float(log_density[k])
        reports = communicator.gather((int(bad.sum()), len(bad), first, moments))
        holding = [rank for rank, report in enumerate(reports) if report[0]]
        firsts = [report[2] for report in reports if report[2] is not None]
        number, total, squares = (sum(report[3][j] for report in reports) for j in range(3))
        mean = total / number if number else math.nan
        spread = max(squares / number - mean * mean, 0.0) ** 0.5 if number else math.nan
        start, position, value = firsts[0]
        return cls(
            cause=CAUSES[cause],
            count=sum(report[0] for report in reports),
            total=sum(report[1] for report in reports),
            start=start,
            position=position,
            log_density=value,
            elsewhere=(mean, spread),
            # A machine may be at fault where numbers are not finite, but not for a fold.
            ranks=() if cause == FOLDED or len(holding) == len(reports) else tuple(holding),
        )

    def __str__(self) -> str:
        where = f"first at x = {_shown(self.position)}"
        if not all(map(math.isfinite, self.position)):
            where = f"first from z = {_shown(self.start)}"
        said = f"{self.cause} at {self.count} of {self.total} samples, {where}"
        if self.ranks:
            said += f", all of rank {', '.join(map(str, self.ranks))}"
        if math.isfinite(self.log_density):
            said += f" with log ρ = {self.log_density:.3g}"
            if math.isfinite(self.elsewhere[0]):
                said += f" (the others: {self.elsewhere[0]:.3g} ± {self.elsewhere[1]:.2g})"
        return said

    @property
    def has_folded(self) -> bool:
        """Whether det ∇T ≤ 0 at them."""
        return self.cause == CAUSES[FOLDED]

    @property
    def may_be_left_out(self) -> bool:
        """Whether the map has folded at them, and they are few (`MOST_FOLDED`)."""
        return self.has_folded and self.count <= MOST_FOLDED * self.total

    def are_those_of(self, other: FailedSamples) -> bool:
        """Whether the same samples have failed alike: as many, from the same first one on, at which
        log ρ has hardly changed."""
        same = (self.cause, self.count, self.start) == (other.cause, other.count, other.start)
        return same and abs(self.log_density - other.log_density) < _SAME

    def is_thin(self) -> bool:
        """Whether ρ is lower there than at nearly all other samples."""
        mean, spread = self.elsewhere
        return self.log_density < mean - 2 * spread

    def is_dense(self) -> bool:
        """Whether ρ is higher there than at nearly all other samples."""
        mean, spread = self.elsewhere
        return self.log_density > mean + 2 * spread


class SamplesFailed(StepFailed):
    """A trial step has failed at some samples."""

    def __init__(self, samples: FailedSamples) -> None:
        super().__init__(str(samples))
        self.samples = samples


def _shown(point: Sequence[float]) -> str:
    more = ", …" if len(point) > _SHOWN else ""
    return "(" + ", ".join(f"{value:.4g}" for value in point[:_SHOWN]) + more + ")"
