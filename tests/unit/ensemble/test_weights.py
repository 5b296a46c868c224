"""Importance weights in every mean: against sums written out."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis.least_squares import Target, fit
from hpc_wgf.choices import Form, Preconditioning
from hpc_wgf.cloud import Cloud
from hpc_wgf.diagnostics.deformation import deformation
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.methods.pwgf.normal_equations import assemble
from hpc_wgf.metric import FeatureGram, GramOperator, build_for
from hpc_wgf.metric.rows import JacobianRows
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import Flow, Quadratic, SumOfEnergies

N = 600


@pytest.fixture
def ensemble():
    torch.manual_seed(3)
    start = wgf.Gaussian(2, 0.3, 0.7)
    z = start.from_normal(torch.randn(N, 2, dtype=torch.float64))
    log_weight = torch.randn(N, dtype=torch.float64)
    cloud = Cloud(z, start.log_density(z), start.score(z), log_weight=log_weight)
    chunks = [cloud.at(slice(0, 200)), cloud.at(slice(200, N))]
    return Ensemble(chunks, [[200, 400]], LocalCommunicator())


def whole(ensemble):
    return torch.cat(ensemble.points), ensemble.own_weights


@pytest.fixture
def map():
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 5)).double()
    torch.manual_seed(4)
    map.set_theta(map.get_theta() + 0.1 * torch.randn(map.parameter_count(), dtype=torch.float64))
    return map


def dense(map, z):
    """J, (n, d, p)."""
    eye = torch.eye(map.parameter_count(), dtype=z.dtype)
    return torch.stack([map.linearize(z).jvp(each).clone() for each in eye], 2)


def test_products_rows_and_preconditioner_are_those_of_the_weighted_metric(ensemble, map):
    z, weights = whole(ensemble)
    J = dense(map, z)
    exact = torch.einsum("nip,nir,n->pr", J, J, weights) / N
    linearizer = map.linearizer()
    chunks = [linearizer.linearize(part) for part in ensemble.points]
    v = torch.randn(map.parameter_count(), dtype=torch.float64)
    gram, rows = GramOperator(chunks, ensemble), JacobianRows(chunks, ensemble)
    assert torch.allclose(gram.matvec(v), exact @ v, atol=1e-13)
    assert gram.square_norm(v) == pytest.approx(float(v @ exact @ v), rel=1e-12)
    assert torch.allclose(rows.rmatvec(rows.matvec(v)), exact @ v, atol=1e-13)
    built = build_for(map, ensemble, Preconditioning.DENSE, 1e-9)  # of all samples, as they are few
    applied = built.model.shifted(1e-9, torch.float64)(exact @ v + 1e-9 * v)
    assert torch.allclose(exact @ applied, exact @ v, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("form", [Form.FORCE, Form.ENERGY])
def test_the_right_hand_side_is_that_of_the_weighted_energy(ensemble, map, form):
    """Against automatic differentiation of (1/n) Σ wᵢ φ in the energy form; in the force form
    against Σ wᵢ Jᵢᵀfᵢ, with LSMR's rows in the same sum."""
    z, weights = whole(ensemble)
    energy = SumOfEnergies([wgf.PotentialEnergy(Quadratic(2)), wgf.InternalEnergy(2.0)])
    system = assemble(map, ensemble, Flow(energy), form=form)
    forces = torch.cat(list(system.forces))
    J = dense(map, z)
    by_force = torch.einsum("nip,ni,n->p", J, forces, weights) / N
    assert system.force_square == pytest.approx(
        float((weights * forces.square().sum(1)).mean()), rel=1e-12
    )
    if form is Form.FORCE:
        assert torch.allclose(system.b, -by_force, atol=1e-13)
        rows = JacobianRows(system.gram.chunks, ensemble)
        assert torch.allclose(rows.rmatvec(system.rows), -by_force, atol=1e-13)
        return
    log_density = torch.cat([chunk.log_density for chunk in ensemble.chunks])
    with torch.enable_grad():
        x, log_det = map.forward_and_logdet(z)
        value = (
            weights * (Quadratic(2)(x) + energy.density_integrand(x, log_density - log_det))
        ).mean()
        grads = torch.autograd.grad(value, list(map.parameters()))
    gradient = torch.cat([each.reshape(-1) for each in grads])
    assert torch.allclose(system.b, -gradient, atol=1e-13)


def test_the_metric_of_features_is_weighted(ensemble):
    z, weights = whole(ensemble)
    map = wgf.Affine(2).double()
    J = dense(map, z)
    exact = torch.einsum("nip,nir,n->pr", J, J, weights) / N
    gram = FeatureGram.of(map, ensemble)
    v = torch.randn(map.parameter_count(), dtype=torch.float64)
    found = gram.applied(gram.shifted(0.0, 0.0, damped=False), v)
    assert torch.allclose(found, exact @ v, atol=1e-13)


def test_the_spread_is_weighted(ensemble):
    z, weights = whole(ensemble)
    share = weights / weights.sum()
    exact = float((share[:, None] * (z - share @ z).square()).sum()) ** 0.5
    assert ensemble.spread(z) == pytest.approx(exact, rel=1e-12)


def test_the_median_is_weighted(ensemble):
    """Half of the weight lies at or below it."""
    _, weights = whole(ensemble)
    values = torch.cat(ensemble.points)[:, 0].square()
    found = ensemble.median(values)
    assert found in values.tolist()
    below = float(weights[values < found].sum() / weights.sum())
    here = float(weights[values <= found].sum() / weights.sum())
    assert below < 0.5 <= here + 1e-5
    assert found != float(values.median())


def test_the_deformation_is_weighted(ensemble):
    """On the line, where random signs are of no matter, against means written out."""
    line = [
        Cloud(each.x[:, :1], each.log_density, each.x[:, :1], log_weight=each.log_weight)
        for each in ensemble.chunks
    ]
    z, weights = torch.cat([each.x for each in line]), ensemble.own_weights
    map = wgf.BlockFlow(1, 4).double()
    torch.manual_seed(5)
    map.set_theta(map.get_theta() + 0.5 * torch.randn(map.parameter_count(), dtype=torch.float64))
    slope = map.linearize(z).vjp(torch.ones_like(z), inputs=True)[1]
    ones, share = torch.cat([z, torch.ones_like(z)], 1), weights / weights.sum()
    with torch.no_grad():
        moments = ones.T @ (share[:, None] * torch.cat([ones, map(z)], 1))
    M = float(torch.linalg.solve(moments[:, :2], moments[:, 2])[0])
    exact = float(share @ (slope[:, 0] - M).square()) ** 0.5 / abs(M)
    found = deformation(map, Ensemble(line, ensemble.sizes, LocalCommunicator()))
    assert found == pytest.approx(exact, rel=1e-9)
    assert exact > 0.05


def test_a_fit_is_the_weighted_one(ensemble):
    """Of x ↦ |x|², which no affine map is, by an affine map: against the normal equations."""
    z, weights = whole(ensemble)
    map = wgf.Affine(2).double()
    images = [cloud.x + cloud.x.square().sum(1, keepdim=True) for cloud in ensemble.chunks]
    fit(map, Target(ensemble, images), 20)
    ones = torch.cat([z, torch.ones_like(z[:, :1])], 1)
    x = torch.cat(images)
    exact = torch.linalg.solve(ones.T @ (weights[:, None] * ones), ones.T @ (weights[:, None] * x))
    assert torch.allclose(map(z), ones @ exact, atol=1e-6)
