"""Where samples have folded is said alike on every rank, and on any number of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble, FailedSamples, SamplesFailed, unusable
from hpc_wgf.ensemble.failed import CAUSES, FOLDED
from hpc_wgf.maps import Transported
from hpc_wgf.parallel import LocalCommunicator

N, D = 16, 2


def cloud(span: slice) -> Cloud:
    """Samples k = 0 … 15 at x = (k, 10 k) with log ρ = k, folded at 6, 7 and 13."""
    k = torch.arange(float(N), dtype=torch.float64)[span]
    folded = (k == 6) | (k == 7) | (k == 13)
    return Cloud(torch.stack([k, 10 * k], 1), k, torch.zeros(len(k), D), positive=~folded)


class OneOf(LocalCommunicator):
    """A rank that hears what `items` all ranks say; itself, where they are not known."""

    def __init__(self, rank: int, items: list[object]) -> None:
        super().__init__()
        self.rank, self.items, self.said = rank, items, None

    def gather(self, item):
        self.said = item
        return self.items or [item]


def own(rank: int, size: int) -> tuple[list[torch.Tensor], list[Cloud], list[Cloud]]:
    """What a rank hands to `FailedSamples.found`: two chunks of samples z = x/2."""
    middle, half = rank * N // size, N // size // 2
    after = [cloud(slice(middle, middle + half)), cloud(slice(middle + half, middle + 2 * half))]
    before = [Cloud(part.x / 2, part.log_density, part.score) for part in after]
    return [unusable(part, part.x, folded_count=True)[0] for part in after], before, after


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_same_is_said_on_all_ranks(size):
    one = FailedSamples.found(0, *own(0, 1), OneOf(0, []))
    items: list[object] = []
    for rank in range(size):
        heard = OneOf(rank, [(1, 1, ((0.0,), (0.0,), 0.0), (1, 0.0, 0.0))])
        FailedSamples.found(0, *own(rank, size), heard)
        items.append(heard.said)
    found = [FailedSamples.found(0, *own(rank, size), OneOf(rank, items)) for rank in range(size)]
    assert found == [one] * size
    samples = found[0]
    assert (samples.count, samples.total) == (3, N)
    assert samples.start == (3.0, 30.0)
    others = torch.tensor([float(k) for k in range(N) if k not in (6, 7, 13)])
    mean, spread = float(others.mean()), float(others.std(correction=0))
    assert samples.elsewhere == pytest.approx((mean, spread))
    assert str(samples) == (
        "the map has folded at 3 of 16 samples, first at x = (6, 60) with log ρ = 6 (the others: "
        f"{mean:.3g} ± {spread:.2g})"
    )


def summed(image: Cloud) -> FailedSamples:
    """What is said of the images of samples that are summed."""
    ensemble = Ensemble([cloud(slice(0, N))], [[N]], LocalCommunicator())
    failed = unusable(image, image.x, folded_count=True)
    with pytest.raises(SamplesFailed) as failure:
        ensemble.sum_or_fail([torch.zeros(1, dtype=torch.float64)], [failed], [image], told=1)
    assert str(failure.value) == str(failure.value.samples)
    return failure.value.samples


def test_a_failed_sum_says_where():
    image = cloud(slice(0, N))
    folded = summed(image)
    assert "folded at 3 of 16 samples, first at x = (6, 60)" in str(folded)
    assert folded.start == (6.0, 60.0)
    pole = Cloud(image.x / (image.x - 40), image.log_density, image.score)  # 40 = 10 k for k = 4
    assert "positions are not finite at 1 of 16 samples, first from z = (4, 40)" in str(
        summed(pole)
    )


class Parabola(wgf.PushForward):
    """T(x) = x + θ x² on the line, which folds where x ≤ −1/(2θ)."""

    def __init__(self) -> None:
        super().__init__(1)
        self.bend = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, z):
        return z + self.bend * z**2

    def transport(self, z, score=None):
        slope = (1 + 2 * self.bend * z)[:, 0]
        if score is not None:
            score = (score - 2 * self.bend / slope[:, None]) / slope[:, None]
        return Transported(self(z), slope.abs().log(), slope > 0, score)

    def linearizer(self, workspace=None):
        raise NotImplementedError


def test_samples_at_which_a_map_has_folded_are_taken_out_of_all_chunks():
    x = torch.arange(-8.0, 8.0, dtype=torch.float64)[:, None]
    parts = [Cloud(part, part[:, 0], part, log_weight=part[:, 0]) for part in x.split(5)]
    sample = Ensemble(parts, [[len(part.x) for part in parts]], LocalCommunicator(), step=3)
    map = Parabola().at(torch.tensor([0.1]))  # folded at x ≤ −5
    left = sample.unfolded(map)
    assert torch.equal(torch.cat(left.points), x[x[:, 0] > -5])
    assert (left.total, left.left_out, left.step) == (12, 4, 3)
    assert [len(chunk.log_weight) for chunk in left.chunks] == [1, 5, 5, 1]
    assert left.unfolded(map).left_out == 4


@pytest.mark.parametrize(("count", "total", "few"), [(1, 1000, True), (2, 1999, False)])
def test_a_thousandth_may_be_left_out(count, total, few):
    folded = FailedSamples(CAUSES[FOLDED], count, total, (0.0,), (0.0,), 0.0, (0.0, 1.0))
    assert folded.may_be_left_out is few
    assert not replace(folded, cause=CAUSES[1]).may_be_left_out
