"""n samples of all ranks: the one owner of their number, weights, chunks and sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import StepFailed
from ..interactions import Particles
from ..maps import PushForward, Stage, carry
from ..parallel import Communicator, tree_sum
from ..problems import ChunkForce, SumOfEnergies

_NAN = float("nan")
_CAUSES = ("the map has folded", "positions are not finite", "values are not finite")


@dataclass(frozen=True)
class Ensemble:
    """n samples of a density: λ itself, or the one to which frozen stages have carried it.

    A mean over them is (1/n) Σᵢ wᵢ aᵢ, wᵢ the importance weights (all 1 today), not normalised by
    their sum. `mean` is the only place where a sum over samples becomes a mean over all ranks.
    """

    chunks: Sequence[Cloud]
    """This rank's samples, in groups that are pushed together."""
    sizes: Sequence[Sequence[int]]
    """For every rank the lengths of its chunks."""
    communicator: Communicator
    """The ranks."""
    step: int = 0
    """The step whose sample it is."""

    @property
    def total(self) -> int:
        """n, the samples of all ranks."""
        return sum(map(sum, self.sizes))

    @property
    def points(self) -> list[Tensor]:
        """Positions of every chunk of this rank, (n_chunk, d)."""
        return [chunk.x for chunk in self.chunks]

    def carried(self, stages: Sequence[Stage], *, score: bool) -> Ensemble:
        """The same samples behind frozen stages; with `score` the score is carried too."""
        if not stages:
            return self
        return replace(self, chunks=carry(stages, self.chunks, score=score))

    def weighted(self, chunk: int, values: Tensor) -> Tensor:
        """wᵢ aᵢ of the samples of a chunk, (n_chunk, …)."""
        log_weight = self.chunks[chunk].log_weight
        if log_weight is None:
            return values
        return log_weight.exp().view(-1, *[1] * (values.ndim - 1)) * values

    def square(self, chunk: int, values: Tensor) -> Tensor:
        """Σᵢ wᵢ |aᵢ|² over a chunk, in float64, 0-d."""
        log_weight = self.chunks[chunk].log_weight
        if log_weight is not None:
            values = (0.5 * log_weight).exp()[:, None] * values
        return values.double().square().sum()

    def mean(self, own: Tensor) -> Tensor:
        """(1/n) of the sum over all ranks of `own`, which this rank has summed over its samples;
        in place, one all-reduce."""
        return self.communicator.sum(own).div_(self.total)

    @torch.no_grad()
    def push(self, map: PushForward, *, density: bool, score: bool) -> list[Cloud]:
        """T(z) of every chunk; log ρ with `density` or `score`, ∇ log ρ with `score`."""
        if not (density or score):
            return [_moved(map, chunk) for chunk in self.chunks]
        scores = [chunk.score for chunk in self.chunks]
        images = map.transport_chunks(self.points, scores if score else None)
        pushed = []
        for chunk, image in zip(self.chunks, images, strict=True):
            carried = torch.full_like(image.x, _NAN) if image.score is None else image.score
            positive = image.positive
            if chunk.positive is not None:
                positive = positive & chunk.positive
            log_density = chunk.log_density - image.log_det
            pushed.append(Cloud(image.x, log_density, carried, positive, chunk.log_weight))
        return pushed

    def forces(
        self, energy: SumOfEnergies, pushed: Sequence[Cloud], *, values: bool = False
    ) -> list[ChunkForce]:
        """f = ∇ δF/δρ at the images `pushed`; collective where particles interact. With `values`
        also the integrand of F."""
        particles = Particles([cloud.x for cloud in pushed], self.sizes, self.communicator)
        return energy.forces(pushed, particles, values=values)

    def sum_or_fail(self, sums: Sequence[Tensor], counts: Sequence[Tensor]) -> Tensor:
        """Σ over chunks and ranks of `sums`, in one float64 all-reduce that also carries every
        rank's `counts` (see `unusable`).

        Errors: `StepFailed` where a count is not 0."""
        size, rank = self.communicator.size, self.communicator.rank
        mine = tree_sum(list(sums))
        placed = mine.new_zeros(len(_CAUSES), size)
        placed[:, rank] = tree_sum(list(counts)).to(mine)
        total = self.communicator.sum(torch.cat([mine, placed.reshape(-1)]))
        per_rank = total[mine.numel() :].view(len(_CAUSES), size).tolist()
        for cause, numbers in zip(_CAUSES, per_rank, strict=True):
            bad = [f"{int(count)} samples of rank {r}" for r, count in enumerate(numbers) if count]
            if bad:
                raise StepFailed(f"{cause} at {', '.join(bad)}")
        return total[: mine.numel()]


def _moved(map: PushForward, chunk: Cloud) -> Cloud:
    """T(z) alone."""
    x = map(chunk.x)
    unknown = torch.full_like(x, _NAN)
    return Cloud(x, unknown[:, 0], unknown, chunk.positive, chunk.log_weight)


def unusable(cloud: Cloud, values: Tensor, *, folded_count: bool) -> Tensor:
    """Samples of a chunk that make a step worthless, (3,): folded ones, with `folded_count` (where
    their density enters the energy), and those of positions or of `values`, (n, …), that are not
    finite."""
    folded = ~cloud.unfolded if folded_count else ~cloud.unfolded & False
    lost = ~torch.isfinite(cloud.x).all(1)
    broken = ~torch.isfinite(values).all(1)
    return torch.stack([folded.sum(), lost.sum(), broken.sum()])
