"""The projection onto gradients, against the matrices B and K written out."""

from __future__ import annotations

import pytest
import torch
from bound import ensemble_of

from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.errors import StepFailed
from hpc_wgf.gradients import GradientProjection, basis_size
from hpc_wgf.parallel import LocalCommunicator

N, D, Q = 300, 3, 24


def weighted(x):
    """Samples with importance weights, in two chunks."""
    random = torch.Generator().manual_seed(0)
    cloud = Cloud(x, x[:, 0], x, log_weight=0.3 * torch.randn(len(x), generator=random))
    chunks = [cloud.at(slice(0, 100)), cloud.at(slice(100, None))]
    return Ensemble(chunks, [[100, len(x) - 100]], LocalCommunicator())


@pytest.fixture
def projection():
    ensemble = weighted(torch.randn(N, D) @ torch.randn(D, D) + 2.0)
    return GradientProjection.at(ensemble.points, ensemble, Q)


def test_it_is_least_squares_by_gradients(projection):
    x, w = torch.cat(list(projection.images)), projection.ensemble.own_weights
    basis = projection.basis
    slopes = basis.derivatives(x)[0]
    B = (slopes[:, :, None] * basis.directions).permute(0, 2, 1).reshape(N * D, Q)
    a = torch.stack([x[:, 1] * x[:, 0], torch.sin(x[:, 2]), -x[:, 0]], 1)
    rows = w.repeat_interleave(D).sqrt()[:, None]
    norm = torch.linalg.matrix_norm((rows * B).T @ (rows * B))
    held = (1e-10 * norm).sqrt() * torch.eye(Q)  # what is added to K
    right = torch.cat([rows * a.reshape(-1, 1), torch.zeros(Q, 1)])
    c = torch.linalg.lstsq(torch.cat([rows * B, held]), right).solution
    nearest = (B @ c).view(N, D)
    found = projection.blended(list(a.split([100, N - 100])), 0.0)
    assert torch.allclose(torch.cat(found), nearest, atol=1e-7)
    blended = torch.cat(projection.blended(list(a.split([100, N - 100])), 0.3))
    assert torch.allclose(blended, 0.7 * nearest + 0.3 * a, atol=1e-7)
    square = projection.square(projection.moments(list(a.split([100, N - 100]))))
    mean = float((w[:, None] * nearest * a).sum() / N)
    assert square == pytest.approx(mean, rel=1e-7)


def test_affine_gradients_stay_as_they_are(projection):
    """S(x − m) is the gradient of a quadratic function for symmetric S."""
    S = torch.tensor([[1.0, 2, 0], [2, -1, 0.5], [0, 0.5, 3]])
    fields = [(x - 3.0) @ S for x in projection.images]
    for found, field in zip(projection.blended(fields, 0.0), fields, strict=True):
        assert torch.allclose(found, field, atol=1e-6)


def test_what_leaves_a_gaussian_as_it_is_has_no_moments():
    """R C⁻¹(x − m), R antisymmetric, with the mean and the covariance of the sample itself."""
    x = torch.randn(N, D) @ torch.randn(D, D) + 2.0
    ensemble = ensemble_of([x])
    projection = GradientProjection.at([x], ensemble, 2 * (D + D * (D + 1) // 2))
    arm = x - x.mean(0)
    R = torch.tensor([[0.0, 1, 2], [-1, 0, -3], [-2, 3, 0]])
    turned = arm @ torch.linalg.solve(arm.T @ arm / N, R.T)
    quadratic = projection.basis.linear + projection.basis.squares
    assert quadratic == D + D * (D + 1) // 2
    moments = projection.moments([turned])[:quadratic]
    assert float(moments.abs().max()) < 1e-12 * float(turned.norm())


def test_a_frame_does_not_move_with_the_origin():
    """Importance weights do not add up to n."""
    x = torch.randn(N, D)
    here, there = (
        GradientProjection.at(each.points, each, Q).basis
        for each in (weighted(x), weighted(x + 50))
    )
    assert torch.allclose(here.directions, there.directions, rtol=1e-9)
    assert torch.allclose(here.mean + 50, there.mean, rtol=1e-9)


def test_what_is_not_finite_is_told(projection):
    images = [image.clone() for image in projection.images]
    images[1][3, 0] = torch.nan
    with pytest.raises(StepFailed, match="not finite"):
        GradientProjection.at(images, projection.ensemble, Q)


def test_there_are_at_least_coordinates_and_squares():
    assert basis_size(None, 4000, 2) == 200
    assert basis_size(None, 1000, 2) == 50
    assert basis_size(None, 1000, 40) == 80
    assert basis_size(7, 1000, 40) == 7
