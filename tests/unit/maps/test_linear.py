"""The features of maps that are linear in their parameters, against the maps themselves."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.maps import (
    Affine,
    AxisSpline,
    BlockFlow,
    Composition,
    Frame,
    RadialBasis,
    SoftmaxGates,
)
from tests.oracles import perturb

LINEAR = {
    "affine": lambda d: Affine(d),
    "spline": lambda d: AxisSpline(d, 6, low=-2.0, high=1.5),
    "rbf": lambda d: RadialBasis(d, 5),
    "softmax": lambda d: SoftmaxGates(d, [[0.2] * d, [-1.0] * d, [1.5] * d], variance=0.8),
}


def points(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("kind", LINEAR)
def test_the_map_is_the_sum_of_its_features(kind, d):
    map = perturb(LINEAR[kind](d), 0.2, seed=1)
    z = points(40, d)
    features, theta = map.linear_features(z), map.get_theta()
    blocks, q, m = features.index.shape
    assert blocks * m == d
    assert sorted(features.index.flatten().tolist()) == list(range(map.parameter_count()))
    moved = torch.einsum("bkm,bkn->bmn", theta[features.index], features.value).reshape(d, -1).T
    assert torch.allclose(map(z), z + moved, atol=1e-13)


@pytest.mark.parametrize("kind", LINEAR)
def test_slopes_give_the_gradient_of_the_map(kind):
    map = perturb(LINEAR[kind](3), 0.2, seed=1)
    z = points(20, 3)
    blocks = map.linear_features(z).jacobian(map.get_theta())
    exact = torch.func.vmap(torch.func.jacrev(lambda row: map(row[None])[0]))(z)
    m = blocks.shape[1]
    for b in range(blocks.shape[0]):
        own = slice(b * m, (b + 1) * m)
        assert torch.allclose(blocks[b].permute(2, 0, 1), exact[:, own, own], atol=1e-12)


def test_other_maps_have_none():
    for map in (BlockFlow(2, 4), Composition(Affine(2), Affine(2)), wgf.PlanarFlow(2, 3)):
        assert map.linear_features(points(3, 2)) is None
        assert map.features_and_coordinates() is None
    assert Affine(3).features_and_coordinates() == (4, 3)
    assert LINEAR["softmax"](3).features_and_coordinates() == (3 * 2 + 2 * 2 + 3 + 1, 3)
    assert AxisSpline(3, 6).features_and_coordinates() == (6, 1)


def test_frames_take_the_range_of_another():
    frame = Frame.unit(2).spanning(Frame.of_samples(points(5000, 2) + 3))
    assert torch.equal(frame.mean, torch.zeros(2, dtype=torch.float64))
    assert bool((frame.low < 1).all())
    assert bool((frame.high > 5).all())
