"""Clusters of samples, of densities whose clusters are known."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.maps.clusters import clusters_of

MEANS = torch.tensor([[4.0, 0.0], [-4.0, 1.0], [0.0, -6.0], [0.5, 7.0]]).double()
SHARES = [0.4, 0.3, 0.2, 0.1]


def separated(n: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of four Gaussians of deviation 0.3, 12 deviations apart at least, and of which."""
    generator = torch.Generator().manual_seed(0)
    member = torch.cat([torch.full((round(n * share),), k) for k, share in enumerate(SHARES)])
    member = member[torch.randperm(len(member), generator=generator)]
    noise = torch.randn(len(member), 2, generator=generator, dtype=torch.float64)
    return MEANS[member] + 0.3 * noise, member


def test_separated_gaussians_are_told_apart():
    x, member = separated()
    found = clusters_of(x, 4)
    order = torch.cdist(MEANS, found.centres).argmin(1)
    means = torch.stack([x[member == k].mean(0) for k in range(4)])
    assert torch.allclose(found.centres[order], means, atol=1e-12)
    assert torch.allclose(found.shares[order], torch.tensor(SHARES).double())
    assert abs(found.variance - float((x - means[member]).square().mean())) < 1e-12


def test_they_move_with_the_samples():
    """To rounding errors of samples far from the origin."""
    x, _ = separated()
    near, far = clusters_of(x, 7), clusters_of(x + 1e4, 7)
    assert torch.allclose(near.centres + 1e4, far.centres, rtol=0, atol=1e-10)
    assert torch.equal(near.shares, far.shares)


def test_more_of_them_lie_closer():
    x, _ = separated()
    widths = [clusters_of(x, count).variance for count in (2, 4, 8, 16)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.5 * 0.09


def test_as_many_as_there_are_points_are_as_wide_as_all_of_them():
    points = torch.tensor([[0.0], [2.0]]).double()
    found = clusters_of(points.repeat(5, 1), 2)
    assert sorted(found.centres.flatten().tolist()) == [0.0, 2.0]
    assert found.variance > 0
    with pytest.raises(InputError, match="there are 2 different ones"):
        clusters_of(points.repeat(5, 1), 3)
