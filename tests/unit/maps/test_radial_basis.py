"""Radial basis functions: where their centres lie, and what their sums are."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.maps import Frame, RadialBasis, described_built_in, rebuilt
from hpc_wgf.maps.radial_basis import farthest_points
from tests.oracles import perturb

ROOT = torch.tensor([[2.0, 0.0], [1.5, 0.3]], dtype=torch.float64)
MEAN = torch.tensor([20.0, -5.0], dtype=torch.float64)


def points(n: int, d: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def test_a_sum_of_given_functions_is_that_sum():
    """T(x) = x + A x + a + Σ c_k exp(−½|x − μ_k|²/σ²), and its score by automatic
    differentiation."""
    centres = torch.tensor([[0.5, -0.3], [-1.0, 0.2], [0.1, 1.4]], dtype=torch.float64)
    map = perturb(RadialBasis(2, centres=centres, width=0.8).double(), 0.2)
    z = points(30, 2)
    c, A, a = map.c[:, :3], map.c[:, 3:5], map.c[:, 5]

    def T(x: torch.Tensor) -> torch.Tensor:
        squares = (x - centres).square().sum(1)
        return x + A @ x + a + c @ torch.exp(-0.5 * squares / 0.8**2)

    image = map.transport(z, -z)
    gradient = torch.func.vmap(torch.func.jacrev(T))(z)

    def log_density(x: torch.Tensor) -> torch.Tensor:
        return -0.5 * x.square().sum() - torch.linalg.slogdet(torch.func.jacrev(T)(x)).logabsdet

    score = torch.func.vmap(torch.func.grad(log_density))(z)
    score = torch.linalg.solve(gradient.mT, score[:, :, None])[:, :, 0]
    assert torch.allclose(image.x, torch.stack([T(x) for x in z]), atol=1e-14)
    assert torch.allclose(image.log_det, torch.linalg.slogdet(gradient).logabsdet, atol=1e-12)
    assert torch.allclose(image.score, score, atol=1e-11)


def test_centres_are_farthest_points():
    """By hand, and by what they are: no point is farther from all of them than they are from
    each other."""
    x = torch.tensor([[0.1, 0.1], [2.0, 2.0], [-1.9, -2.0], [1.9, -1.0], [-1.0, 1.5], [0.2, 0.0]])
    found = farthest_points(x, 4)
    assert torch.equal(found, x[[5, 2, 1, 3]])
    x = points(2000, 3)
    found = farthest_points(x, 20)
    apart = torch.cdist(found, found) + torch.eye(20) * 1e9
    assert float(torch.cdist(x, found).min(1).values.max()) <= float(apart.min())


def test_they_lie_among_the_samples_in_any_units():
    y, units = points(3000, 2), torch.tensor([20.0, 0.01], dtype=torch.float64)
    map, scaled = RadialBasis(2, 20), RadialBasis(2, 20)
    map.lay_out(Frame.of_samples(y))
    scaled.lay_out(Frame.of_samples(MEAN + y * units))
    assert torch.allclose((scaled.centres - MEAN) / units, map.centres, atol=1e-9)
    z = points(30, 2)
    assert torch.allclose(scaled.values((MEAN + z * units).T), map.values(z.T), atol=1e-9)
    nearest = (map.centres[:, None, :] - y).norm(dim=2).min(1).values
    assert float(nearest.max()) < 1e-12


def test_correlated_samples_are_seen_in_standard_coordinates():
    x = MEAN + points(3000, 2) @ ROOT.T
    frame, map = Frame.of_samples(x), RadialBasis(2, 20, overlap=1.6)
    map.lay_out(frame)
    assert bool(((map.centres >= frame.low) & (map.centres <= frame.high)).all())
    arms = (map.centres - map.centres[:, None]) @ map.scaling.T
    nearest = (arms.norm(dim=2) + 1e9 * torch.eye(20)).min(1).values
    assert float(nearest.median()) == pytest.approx(1 / 1.6)
    covariance = map.scaling @ (frame.factor @ frame.factor.T) @ map.scaling.T
    assert torch.allclose(covariance, covariance[0, 0] * torch.eye(2), atol=1e-9)


def test_moments_alone_do():
    frame = Frame.of_moments(MEAN, ROOT @ ROOT.T)
    map, same = RadialBasis(2, 12), RadialBasis(2, 12)
    for each in (map, same):
        each.lay_out(frame)
    assert torch.equal(map.centres, same.centres)
    inner = torch.linalg.solve_triangular(ROOT, (map.centres - MEAN).T, upper=False).T
    assert 2.0 < float(inner.norm(dim=1).max()) < 4.5
    given = RadialBasis(2, centres=[[1.0, 2.0]], width=0.3)
    given.lay_out(frame)
    assert given.centres.tolist() == [[1.0, 2.0]]
    assert torch.allclose(given.scaling, torch.eye(2).double() / 0.3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_described_map_is_made_again_to_the_bit(dtype):
    map = RadialBasis(2, 9)
    map.lay_out(Frame.of_moments(MEAN, ROOT @ ROOT.T))
    map = perturb(map, 0.2).to(dtype)
    other = rebuilt(described_built_in(map)).to(dtype).at(map.get_theta())
    z = (MEAN + points(20, 2)).to(dtype)
    for ours, theirs in zip(map.transport(z, -z), other.transport(z, -z), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RadialBasis(4), "up to 3 dimensions, and this has 4: take a block"),
        (lambda: RadialBasis(2, 1), "at least two centres, got 1"),
        (lambda: RadialBasis(2, overlap=0.0), "overlap of radial basis functions must be positive"),
        (lambda: RadialBasis(2, centres=[[1.0]]), r"shape \(1, 1\): expected a list of points"),
        (lambda: RadialBasis(2, centres=[[1.0, 2.0]], width=-1.0), "width of radial"),
        (lambda: RadialBasis(2, 9).lay_out(Frame.of_samples(points(4, 2).repeat(50, 1))),
         "9 centres are to be different samples, and there are 4"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
