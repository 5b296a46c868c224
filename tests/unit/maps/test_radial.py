"""Radial layers against automatic derivatives, and where they end."""

from __future__ import annotations

import json

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf import InputError
from hpc_wgf.maps import Composition, Frame, RadialFlow, described_built_in, rebuilt

C = [[2.0, 0.6, 0.0], [0.6, 1.0, 0.1], [0.0, 0.1, 0.5]]
CASES = {
    "isotropic": {"centre": [0.3, -0.2, 1.0], "radius": 2.5},
    "diagonal": {"centre": 0.1, "covariance": [0.5, 1.0, 2.0], "radius": 2.0},
    "correlated": {"centre": [0.3, -0.2, 1.0], "covariance": C, "radius": 2.2},
}


def map_with(seed: int = 0, size: float = 0.2, knots: int = 7, **options) -> RadialFlow:
    map = RadialFlow(3, knots, **options)
    map.v.data.copy_(size * torch.randn(knots, generator=torch.Generator().manual_seed(seed)))
    return map


def points(map: RadialFlow, n: int = 60) -> torch.Tensor:
    """About the centre, near to it, at the end R, and beyond."""
    direction = torch.randn(n, 3, generator=torch.Generator().manual_seed(1))
    r = torch.cat([torch.linspace(1e-9, 1.3 * map.radius, n - 1), torch.tensor([map.radius])])
    white = direction / direction.norm(dim=1, keepdim=True) * r[:, None]
    W = torch.diag(map.whitening) if map.whitening.ndim == 1 else map.whitening
    return map.centre + torch.linalg.solve(W, white.T).T


@pytest.mark.parametrize("case", CASES)
def test_volume_and_score_are_those_of_automatic_derivatives(case):
    map = map_with(**CASES[case])
    start = wgf.Gaussian(3, [0.2, 0.1, -0.3], C)
    z = points(map).requires_grad_()
    image = map.transport(z, start.score(z))
    jacobians = torch.stack(
        [torch.autograd.functional.jacobian(map, one[None])[0, :, 0] for one in z]
    )
    assert torch.allclose(image.x, map(z), atol=0)
    assert torch.allclose(image.log_det, torch.linalg.slogdet(jacobians)[1], atol=1e-12)
    # ∇_x log ρ = ∇T^{-T} ∇_z (log λ − log|det ∇T|)
    log_density = start.log_density(z) - map.transport(z).log_det
    (slope,) = torch.autograd.grad(log_density.sum(), z)
    score = torch.linalg.solve(jacobians.mT, slope)
    assert torch.allclose(image.score, score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_score_is_continuous_through_the_centre_the_knots_and_the_end(case):
    map = map_with(size=0.05, **CASES[case])
    W = torch.diag(map.whitening) if map.whitening.ndim == 1 else map.whitening
    direction = torch.linalg.solve(W, torch.tensor([0.6, 0.0, 0.8]))
    r = torch.arange(map.knots + 2) * map.width  # the centre, all knots and R
    below, above = (map.centre + (r + shift)[:, None] * direction for shift in (-1e-9, 1e-9))
    scores = [map.transport(z, torch.full_like(z, 0.3)).score.detach() for z in (below, above)]
    assert float((scores[0] - scores[1]).abs().max()) < 1e-6
    assert float(scores[0].abs().max()) > 0.1


def test_at_the_centre_it_is_a_dilation():
    map = map_with(**CASES["isotropic"])
    v = map.v.tolist()
    g = (2 * v[0] + v[1]) / 3
    image = map.transport(map.centre[None], torch.ones(1, 3))
    assert torch.equal(image.x[0], map.centre)
    assert float(image.log_det) == pytest.approx(3 * torch.tensor(1 + g).abs().log().item())
    assert torch.allclose(image.score, torch.ones(1, 3) / (1 + g))


def test_beyond_its_end_it_is_the_identity_to_the_bit():
    map = map_with(**CASES["correlated"])
    z = points(map)
    outside = (torch.linalg.vector_norm((z - map.centre) @ map.whitening.T, dim=1)) > map.radius
    score = torch.randn(z.shape, generator=torch.Generator().manual_seed(2))
    image = map.transport(z, score)
    assert 5 < int(outside.sum()) < 30
    assert torch.equal(image.x[outside], z[outside])
    assert torch.equal(image.score[outside], score[outside])
    assert not bool(image.log_det[outside].any())
    assert float((image.x - z)[~outside].abs().max()) > 0.1


def test_a_fold_is_seen_along_and_across_the_radius():
    map = RadialFlow(2, 6, centre=0.0, radius=7.0)
    z = torch.tensor([[1.0, 0.0], [1.5, 0.0], [8.0, 0.0]])
    map.v.data.copy_(torch.tensor([-1.5, -1.5, -1.5, 0.0, 0.0, 0.0]))  # det > 0
    assert map.transport(z).positive.tolist() == [False, False, True]
    map.v.data.copy_(torch.tensor([0.0, 0.0, 1.2, -0.4, 0.0, 0.0]))  # images turn back
    r = torch.linspace(0.01, 8, 500)
    image = map.transport(torch.stack([r, torch.zeros(500)], 1))
    falling = image.x[1:, 0] < image.x[:-1, 0]
    assert 20 < int(falling.sum()) < 300
    assert int((falling != ~image.positive[1:]).sum()) <= 4  # but at the ends of the fold


def test_layers_with_disjoint_balls_do_not_interact():
    one = map_with(0, centre=-2.0, radius=3.0)
    two = map_with(1, centre=2.0, radius=3.0)
    z = 3 * torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    score = -z
    first, second = (Composition(*parts).transport(z, score) for parts in ((one, two), (two, one)))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.score, second.score)
    assert torch.equal(first.log_det, second.log_det)
    moved = [(part(z) != z).any(1) for part in (one, two)]
    assert int(moved[0].sum()) > 20
    assert int(moved[1].sum()) > 20


def test_it_is_laid_out_by_samples():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).double()
    x = x @ torch.linalg.cholesky(torch.tensor(C)).T + torch.tensor([5.0, -1.0, 0.0])
    map = RadialFlow(3, 8)
    map.lay_out(Frame.of_samples(x))
    assert torch.allclose(map.centre, x.mean(0))
    white = (x - map.centre) @ map.whitening.T
    assert torch.allclose(white.T @ white / len(x), torch.eye(3), atol=1e-9)
    r = white.norm(dim=1)
    assert float(r.max()) < map.radius < 1.5 * float(r.max())
    assert torch.equal(map(x), x)
    # With a centre of its own it measures |x − c|, as far as the samples go.
    own = RadialFlow(3, 8, centre=1.0)
    own.lay_out(Frame.of_samples(x))
    assert own.whitening.tolist() == [1.0, 1.0, 1.0]
    reach = (x - 1.0).norm(dim=1).max()
    assert float(reach) < own.radius < 1.5 * float(reach)


@pytest.mark.parametrize("case", CASES)
def test_it_is_made_again_from_its_description(case):
    map = map_with(**CASES[case])
    again = rebuilt(described_built_in(map)).at(map.get_theta())
    assert torch.equal(map(points(map)), again(points(map)))
    assert json.loads(described_built_in(map))["kind"] == "radial"


@pytest.mark.parametrize(
    ("knots", "options", "words"),
    [
        (1, {}, "at least 2 knots, got 1"),
        (4, {"radius": 0.0}, "must be positive, got 0.0"),
        (4, {"centre": [1.0, 2.0]}, "give a finite number, or 3"),
        (4, {"centre": float("nan")}, "give a finite number, or 3"),
        (4, {"covariance": -1.0}, "symmetric and positive definite, got -1.0"),
        (4, {"covariance": [1.0, 2.0]}, r"has shape \(2,\) but the dimension is 3"),
        (4, {"covariance": [[1, 2, 0], [0, 1, 0], [0, 0, 1]]}, "symmetric and positive definite"),
    ],
)
def test_what_does_not_fit_is_refused(knots, options, words):
    with pytest.raises(InputError, match=words):
        RadialFlow(3, knots, **options)


def test_it_carries_the_porous_medium_flow_of_a_gaussian():
    problem = wgf.Problem(wgf.InternalEnergy(2.0), wgf.Gaussian(3, 1.0, 0.5), until=0.04)
    options = wgf.PWGFOptions(samples=1000, step=0.02, tolerance=1e-3)
    found = wgf.solve(problem, RadialFlow(3, 10), options).summary
    assert found.map_error_relative[-1] < 1e-3
    assert max(found.projection_error_fresh_relative) < 5e-3


@pytest.mark.parametrize("case", CASES)
def test_it_is_linear_in_its_parameters_also_near_the_centre(case):
    map = map_with(**CASES[case])
    z, theta = points(map), map.get_theta()
    moved = map.linearize(z).jvp(torch.ones(map.knots))
    assert torch.allclose(moved, (map.at(theta + 1)(z) - map.at(theta)(z)).detach(), atol=1e-12)
