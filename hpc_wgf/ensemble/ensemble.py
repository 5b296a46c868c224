"""Samples that are distributed over the ranks: their weights, their chunks, and means over all."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from ..accounts import Part, counted
from ..cloud import Cloud
from ..interactions import Particles
from ..maps import PushForward, Stage, carried_by, carry
from ..parallel import Communicator, tree_sum
from ..problems import ChunkForce, Flow, Motion, SumOfEnergies
from .failed import FOLDED, MOST_FOLDED, FailedSamples, SamplesFailed

_R = TypeVar("_R")

_NAN = float("nan")
_UNITS = 1 << 16  # of a weight, of which a median counts whole numbers, the same on any ranks


@dataclass(frozen=True)
class Ensemble:
    """n samples of a density, distributed over the ranks: of the start density λ, or of its image
    under the frozen stages of a map.

    Expectations are estimated by E[a] ≈ (1/n) Σᵢ wᵢ aᵢ. The importance weights wᵢ are not
    normalised by their sum; they are all 1 for samples that are drawn from the density itself.
    """

    chunks: Sequence[Cloud]
    """The samples of this rank, in chunks of samples that are mapped together."""
    sizes: Sequence[Sequence[int]]
    """The number of samples in every chunk of every rank, indexed by rank and chunk."""
    communicator: Communicator
    """The ranks over which the samples are distributed."""
    step: int = 0
    """Number of the step for which the samples were drawn; 0 for samples that serve all steps."""
    left_out: int = 0
    """Samples of all ranks that have been left out, see `unfolded`."""

    @property
    def total(self) -> int:
        """n, the number of samples of all ranks together."""
        return sum(map(sum, self.sizes))

    @property
    def points(self) -> list[Tensor]:
        """The positions in every chunk of this rank, (n_chunk, d) each."""
        return [chunk.x for chunk in self.chunks]

    @counted(Part.VOLUMES)
    def carried(self, stages: Sequence[Stage], *, score: bool) -> Ensemble:
        """The images of the samples under the frozen stages of a map, with their log-densities, and
        with their scores if `score` is true (else these are NaN)."""
        if not stages:
            return self
        return replace(self, chunks=carry(stages, self.chunks, score=score))

    @counted(Part.VOLUMES)
    @torch.no_grad()
    def unfolded(self, map: PushForward) -> Ensemble:
        """The samples at which neither a map nor those that have carried the samples have folded.
        Collective."""
        images = carried_by(map, self.chunks, score=False)
        kept = [chunk.at(image.unfolded) for chunk, image in zip(self.chunks, images, strict=True)]
        sizes = self.communicator.gather([len(chunk.x) for chunk in kept])
        left_out = self.left_out + self.total - sum(sum(rank) for rank in sizes)
        return replace(self, chunks=kept, sizes=sizes, left_out=left_out)

    def where_unfolded(self, map: PushForward, compute: Callable[[Ensemble], _R]) -> _R:
        """What `compute` finds at these samples, or where it meets few at which `map` has folded
        already, at all others. Errors: those of `compute`."""
        try:
            return compute(self)
        except SamplesFailed as failure:
            if not failure.samples.may_be_left_out:
                raise
        return compute(self.unfolded(map))

    @property
    def own_weights(self) -> Tensor | None:
        """wᵢ of all samples of this rank, (n_local,); None where all are 1."""
        known = [each for chunk in self.chunks if (each := chunk.weight) is not None]
        return torch.cat(known) if known else None

    def weighted(self, chunk: int, values: Tensor) -> Tensor:
        """wᵢ aᵢ for the samples of chunk number `chunk` and their `values` a, (n_chunk, …)."""
        weights = self.chunks[chunk].weight
        return values if weights is None else _along(weights, values) * values

    def rooted(self, chunk: int, values: Tensor) -> Tensor:
        """√wᵢ aᵢ likewise."""
        weights = self.chunks[chunk].weight
        return values if weights is None else _along(weights.sqrt(), values) * values

    def square(self, chunk: int, values: Tensor) -> Tensor:
        """Σᵢ wᵢ |aᵢ|² over the samples of chunk number `chunk`, for `values` a, (n_chunk, k). A
        tensor without dimensions in float64."""
        return self.rooted(chunk, values).double().square().sum()

    def mean(self, own: Tensor) -> Tensor:
        """(1/n) Σ_ranks `own`, of any shape, where `own` is this rank's (weighted) sum over its own
        samples. It is overwritten with the result. Collective, one all-reduce."""
        return self.averaged(self.communicator.sum(own))

    def averaged(self, summed: Tensor) -> Tensor:
        """A sum over the samples of all ranks divided by n, in place."""
        return summed.div_(self.total)

    def spread(self, values: Tensor) -> float:
        """(E|a − E[a]|²)^½ of `values` a at this rank's samples, (n_local, k), but for those that
        are not a number. Collective, two all-reduces."""
        values = values.double()
        known = ~values.isnan().any(1)
        values, own = values[known], self.own_weights
        weights = torch.ones_like(values[:, :1]) if own is None else own.double()[known][:, None]
        sums = self.communicator.sum(torch.cat([(weights * values).sum(0), weights.sum()[None]]))
        count = sums[-1].clone()
        centred = values - sums[:-1] / count
        return float(self.communicator.sum((weights * centred.square()).sum()) / count) ** 0.5

    def median(self, values: Tensor) -> float:
        """The median of `values` ≥ 0 at this rank's samples, (n_local,), over those of all ranks:
        of an even number the lower of the two in the middle. What is not a number is left out;
        weights count in multiples of 2⁻¹⁶. NaN where nothing is left. Collective, 8 all-reduces of
        256 counts.

        It is exact, and hence the same on any number of ranks: from the first of its bytes to the
        last, those samples are counted that agree with it so far."""
        # The order of floating-point numbers ≥ 0 is that of their bits.
        known, own = ~values.isnan(), self.own_weights
        bits = values[known].double().view(torch.int64)
        number = torch.ones_like(bits)
        if own is not None:
            number = (own[known].double() * _UNITS).round().long()
        place, found = 0, list[int]()
        for shift in range(56, -8, -8):
            byte = (bits >> shift) & 255
            counts = self.communicator.sum(number.new_zeros(256).index_add_(0, byte, number))
            up_to = counts.cumsum(0).tolist()
            if not up_to[-1]:
                return _NAN
            place = place or (up_to[-1] + 1) // 2
            found.append(bisect_left(up_to, place))
            place -= up_to[found[-1] - 1] if found[-1] else 0
            chosen = byte == found[-1]
            bits, number = bits[chosen], number[chosen]
        (median,) = struct.unpack(">d", bytes(found))
        return float(median)

    def standard_error(self, mean: float, square: float) -> float:
        """The standard error ((E[a²] − E[a]²)/(n−1))^½ of the mean over n samples of a quantity a,
        from its `mean` E[a] and the mean `square` E[a²]."""
        return float(max(0.0, square - mean * mean) / max(1, self.total - 1)) ** 0.5

    @counted(Part.VOLUMES)
    @torch.no_grad()
    def push(self, map: PushForward, *, density: bool, score: bool) -> list[Cloud]:
        """x = T(z) for every chunk of this rank, with log ρ(x) = log λ(z) − log|det ∇T(z)| if
        `density` or `score` is true and ∇ log ρ(x) if `score` is true. What is not computed is
        NaN."""
        if not (density or score):
            return [_moved(map, chunk) for chunk in self.chunks]
        return carried_by(map, self.chunks, score=score)

    @counted(Part.FORCES)
    def forces(
        self, energy: SumOfEnergies, pushed: Sequence[Cloud], *, values: bool = False
    ) -> list[ChunkForce]:
        """f = ∇ δF/δρ at the images `pushed` of this rank's chunks; with `values` also the
        integrand φ of F ≈ (1/n) Σᵢ wᵢ φᵢ. Collective if the energy has interactions."""
        particles = Particles([cloud.x for cloud in pushed], self.sizes, self.communicator)
        return energy.forces(pushed, particles, values=values)

    @counted(Part.FORCES)
    def motions(
        self, flow: Flow, pushed: Sequence[Cloud], forces: Sequence[ChunkForce]
    ) -> list[Motion]:
        """What the velocity of the particles is to be at the images `pushed` of this rank's chunks,
        where `forces` are the forces. Collective where the mobility takes means."""
        return flow.motions(pushed, forces, self)

    @counted(Part.FORCES)
    def energy_drift(self, energy: SumOfEnergies, pushed: Sequence[Cloud]) -> float:
        """∂ₜF = E[∂ₜV(x, t)] at the images `pushed`: 0 where no potential moves. Collective where
        one does."""
        if not energy.moves:
            return 0.0
        rates = [energy.time_derivative(cloud.x)[:, None] for cloud in pushed]
        return float(self.expectation(rates))

    def expectation(self, values: Sequence[Tensor]) -> Tensor:
        """E[a], (k,) in float64, of `values` a at every chunk of this rank, (n_chunk, k).
        Collective, one all-reduce."""
        sums = [self.weighted(k, each.double()).sum(0) for k, each in enumerate(values)]
        return self.mean(tree_sum(sums))

    def largest(self, values: Sequence[Tensor]) -> float:
        """The largest of `values`, (n_chunk,) for every chunk, over all ranks. Collective, one
        all-reduce."""
        each = torch.zeros(self.communicator.size, dtype=torch.float64, device=values[0].device)
        own = [part.max() for part in values if len(part)]
        if own:
            each[self.communicator.rank] = torch.stack(own).max()
        return float(self.communicator.sum(each).max())

    def sum_or_fail(
        self, sums: Sequence[Tensor], failed: Sequence[Tensor], pushed: Sequence[Cloud], *,
        told: int, few_folds: bool = False,
    ) -> tuple[Tensor, list[float]]:  # fmt: skip
        """The sum of `sums`, (k,) for each chunk in float64, over all chunks and ranks: (k,). The
        last `told` of them also as numbers of the host, which looks once for all.

        `failed`, (3, n_chunk) for each chunk, are the samples that `unusable` finds among the
        images `pushed`. Their numbers are reduced together with the sums. Collective, one
        all-reduce.

        Errors: `SamplesFailed` on every rank if any has failed; its message says for what cause,
        how many, and where. `few_folds`: whether a share of `MOST_FOLDED` may have folded."""
        mine = tree_sum(list(sums))
        counts = tree_sum([each.sum(1) for each in failed]).to(mine)
        total = self.communicator.sum(torch.cat([mine, counts]))
        numbers = total[mine.numel() - told :].tolist()
        for cause, count in enumerate(numbers[told:]):
            borne = MOST_FOLDED * self.total if few_folds and cause == FOLDED else 0.0
            if count > borne:
                of_cause = [each[cause] for each in failed]
                raise SamplesFailed(
                    FailedSamples.found(cause, of_cause, self.chunks, pushed, self.communicator)
                )
        return total[: mine.numel()], numbers[:told]


def _along(weights: Tensor, values: Tensor) -> Tensor:
    """Weights, (n,), in as many dimensions as values, (n, …), have."""
    return weights.view(-1, *[1] * (values.ndim - 1))


def _moved(map: PushForward, chunk: Cloud) -> Cloud:
    """x = T(z) without density and score, which are NaN."""
    x = map(chunk.x)
    unknown = torch.full_like(x, _NAN)
    return Cloud(x, unknown[:, 0], unknown, chunk.positive, chunk.log_weight)
