"""Features laid out where the samples are."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import Features
from hpc_wgf.maps import (
    Affine,
    BlockFlow,
    Composition,
    ConvexGradient,
    Frame,
    NeuralODE,
    PlanarFlow,
    RealNVP,
    ResidualPerceptron,
)
from hpc_wgf.maps.features import initial_features

MEAN = torch.tensor([30.0, -2.0, 0.1], dtype=torch.float64)
ROOT = torch.tensor([[2.0, 0.0, 0.0], [0.5, 0.1, 0.0], [-3.0, 0.2, 5.0]], dtype=torch.float64)
SKEWED = Frame.of_moments(MEAN, ROOT @ ROOT.T)
DIAGONAL = Frame.of_moments(MEAN, torch.tensor([4.0, 0.01, 25.0]))


def hyperplanes(W: torch.Tensor, b: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, ...]:
    """Direction and offset of features in the coordinates in which the samples are standard."""
    factor = frame.factor if frame.factor.ndim == 2 else torch.diag(frame.factor)
    return W @ factor, b + W @ frame.mean


@pytest.mark.parametrize("frame", [SKEWED, DIAGONAL], ids=["skewed", "diagonal"])
def test_random_features_are_the_standard_ones_in_standard_coordinates(frame):
    """tanh(w·x + b) of samples anywhere and in any units is what it is of standard samples."""
    expected = initial_features(40, 3)
    found = hyperplanes(*initial_features(40, 3, frame), frame)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_axis_features_follow_the_deviation_of_their_axis():
    W, b = initial_features(30, 3, SKEWED, features=Features.AXIS)
    standard, _ = initial_features(30, 3, features=Features.AXIS)
    deviations = (ROOT @ ROOT.T).diagonal().sqrt()
    assert torch.allclose(W * deviations, standard)
    distances = (b + W @ MEAN).abs() / (W * deviations).norm(dim=1)
    assert 1.5 < float(distances.max()) <= 2.0


def test_numbers_that_are_given_are_kept():
    W, b = initial_features(200, 3, SKEWED, scale=0.5, spread=0.3, centre=[1.0, 2.0, 3.0])
    assert torch.equal(W, initial_features(200, 3, scale=0.5)[0])
    distances = (b + W @ torch.tensor([1.0, 2.0, 3.0])).abs() / W.norm(dim=1)
    assert 0.25 < float(distances.max()) <= 0.3
    # A spread of one's own, and all else from the samples.
    W, b = initial_features(200, 3, SKEWED, spread=0.3)
    distances = (b + W @ MEAN).abs() / W.norm(dim=1)
    assert 0.25 < float(distances.max()) <= 0.3


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: BlockFlow(3, 8, **options),
        lambda **options: PlanarFlow(3, 8, **options),
        lambda **options: ResidualPerceptron(3, (8, 5), **options),
        lambda **options: NeuralODE(3, 8, **options),
        lambda **options: RealNVP(3, 2, 8, **options),
        lambda **options: ConvexGradient(3, 8, **options),
        lambda **options: Composition(Affine(3), BlockFlow(3, 8, **options)),
    ],
    ids=["block", "planar", "perceptron", "neural-ode", "real-nvp", "convex", "composition"],
)
def test_maps_lay_out_their_features_once(make):
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    map = make()
    before = map.get_theta()
    map.lay_out(SKEWED)
    laid_out = map.get_theta()
    assert not torch.equal(laid_out, before)
    assert torch.equal(map(z), z)
    map.lay_out(DIAGONAL)  # These features are not the initial ones any more.
    assert torch.equal(map.get_theta(), laid_out)
    given = make(scale=1.0, spread=2.0, centre=0.0)
    given.lay_out(SKEWED)
    assert torch.equal(given.get_theta(), before)


def test_a_map_in_double_precision_is_laid_out_too():
    """Its initial features are those of single precision, where that is torch's default."""
    torch.set_default_dtype(torch.float32)
    map, single = BlockFlow(3, 8).double(), BlockFlow(3, 8)
    before = map.get_theta()
    for each in (map, single):
        each.lay_out(SKEWED)
    assert not torch.equal(map.get_theta(), before)
    assert torch.allclose(map.get_theta(), single.get_theta().double(), rtol=1e-6, atol=1e-4)


def test_features_that_somebody_has_set_stay():
    map = BlockFlow(3, 8)
    map.W.data.mul_(3.0)
    before = map.get_theta()
    map.lay_out(SKEWED)
    assert torch.equal(map.get_theta(), before)


def test_moments_of_samples():
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) @ ROOT[:2, :2].T + 5.0
    frame = Frame.of_samples(x)
    standard = torch.linalg.solve(frame.factor, (x - frame.mean).T).T
    assert torch.allclose(standard.mean(0), torch.zeros(2), atol=1e-12)
    assert torch.allclose(standard.T @ standard / 400, torch.eye(2), atol=1e-12)
    assert torch.allclose(frame.deviations, x.std(0, correction=0))
    # Few samples tell deviations, and no correlations; a coordinate that stands still has none.
    few = Frame.of_samples(torch.cat([x[:20], torch.ones(20, 1)], 1))
    assert few.factor.ndim == 1
    assert float(few.factor[2]) == 1.0


def test_a_singular_covariance_counts_as_its_diagonal():
    frame = Frame.of_moments(torch.zeros(2), torch.tensor([[4.0, 2.0], [2.0, 1.0]]))
    assert frame.factor.tolist() == [2.0, 1.0]
