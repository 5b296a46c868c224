"""The metric G_ε: against its matrix written out, between εĜ and Ĝ, and what it does not see."""

from __future__ import annotations

import pytest
import torch
from bound import ensemble_of

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.gradients import GradientProjection
from hpc_wgf.metric import FeatureGram, GradientGram, GramOperator, gradient_features
from hpc_wgf.parallel import LocalCommunicator
from tests.oracles import perturb

D = 3
MAPS = {
    "affine": lambda: wgf.Affine(D),
    "spline": lambda: wgf.AxisSpline(D, 5, low=-2.0, high=2.0),
    "block": lambda: wgf.Composition(wgf.Affine(D), wgf.BlockFlow(D, 4)),
}


def sampled():
    """Weighted samples of a Gaussian in two chunks."""
    n, start = 600, wgf.Gaussian(D, 0.3, 0.7)
    z, weight = start.from_normal(torch.randn(n, D)), 0.3 * torch.randn(n)
    cloud = Cloud(z, start.log_density(z), start.score(z), log_weight=weight)
    chunks = [cloud.at(slice(0, n // 3)), cloud.at(slice(n // 3, n))]
    return Ensemble(chunks, [[len(each.x) for each in chunks]], LocalCommunicator())


def grams(map, ensemble, epsilon, count=40):
    chunks = [map.linearizer().linearize(z) for z in ensemble.points]
    images = [map(z).detach() for z in ensemble.points]
    projection = GradientProjection.at(images, ensemble, count)
    return GramOperator(chunks, ensemble), GradientGram(
        chunks, ensemble, projection=projection, epsilon=epsilon
    )


def dense(gram, p):
    return torch.stack([gram.matvec(e) for e in torch.eye(p)], 1)


@pytest.mark.parametrize("kind", MAPS)
def test_products_and_matrix_are_those_written_out(kind):
    map, ensemble, epsilon = perturb(MAPS[kind](), 0.1), sampled(), 0.2
    pullback, gram = grams(map, ensemble, epsilon)
    p, n, w = map.parameter_count(), ensemble.total, ensemble.own_weights
    eye = torch.eye(p)
    J = torch.cat([torch.stack([c.jvp(e) for e in eye], 2) for c in gram.chunks])
    basis = gram.projection.basis
    slopes = basis.derivatives(torch.cat(list(gram.projection.images)))[0]
    B = (slopes[:, :, None] * basis.directions).permute(0, 2, 1)
    K = torch.einsum("niq,nir,n->qr", B, B, w) / n
    K += 1e-10 * torch.linalg.matrix_norm(K) * torch.eye(len(K))
    C = torch.einsum("niq,nip,n->qp", B, J, w) / n
    whole = torch.einsum("nip,nir,n->pr", J, J, w) / n
    exact = epsilon * whole + (1 - epsilon) * C.T @ torch.linalg.solve(K, C)
    found = dense(gram, p)
    assert torch.allclose(found, exact, rtol=1e-9, atol=1e-10 * float(exact.abs().max()))
    assert torch.allclose(found, found.T, atol=1e-10)
    v = torch.randn(p)
    assert gram.square_norm(v) == pytest.approx(float(v @ exact @ v), rel=1e-9)
    assert gram.square_motion(v) == pytest.approx(pullback.square_norm(v), rel=1e-12)
    if kind != "block":
        features = gradient_features(map, ensemble, gram.projection, epsilon)
        matrices = features.shifted(0.0, 0.0, damped=False)
        assert torch.allclose(features.applied(matrices, v), exact @ v, rtol=1e-9, atol=1e-9)
        rough = FeatureGram.of(map, ensemble)
        smoothed = [
            g.applied(g.shifted(0.1, 0.5, damped=True), v)
            - g.applied(g.shifted(0.0, 0.0, damped=False), v)
            for g in (features, rough)
        ]
        assert torch.allclose(*smoothed, atol=1e-11)


def test_it_lies_between_epsilon_of_the_pullback_metric_and_all_of_it():
    """εĜ ⪯ G_ε ⪯ Ĝ for random vectors, and for ε = 1 all is equal to rounding."""
    map, ensemble = perturb(MAPS["block"](), 0.3), sampled()
    pullback, gram = grams(map, ensemble, 0.1)
    for _ in range(20):
        v = torch.randn(map.parameter_count())
        whole, less = float(v @ pullback.matvec(v)), float(v @ gram.matvec(v))
        assert 0.1 * whole <= less * (1 + 1e-12) <= whole * (1 + 1e-9)
    assert less < 0.99 * whole
    same = grams(map, ensemble, 1.0)[1].matvec(v)
    assert torch.allclose(same, pullback.matvec(v), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("d", [2, 3, 4])
def test_an_affine_map_of_a_gaussian_has_as_many_null_directions_as_rotations(d):
    """G v = λĜv at a Gaussian of any covariance: d(d − 1)/2 of the λ are 0 but for the noise of the
    samples, those of the motions R C⁻¹(x − m) with R antisymmetric, and all others are 1."""
    A = torch.randn(d, d)
    start = wgf.Gaussian(d, 0.4, A @ A.T / d + 0.5 * torch.eye(d))
    map, ensemble = wgf.Affine(d), ensemble_of([start.from_normal(torch.randn(8000, d))])
    quadratic = d + d * (d + 1) // 2
    pullback, gram = grams(map, ensemble, 0.0, 2 * quadratic)
    p = map.parameter_count()
    L = torch.linalg.cholesky(dense(pullback, p))
    half = torch.linalg.solve_triangular(L, dense(gram, p), upper=False)
    values = torch.linalg.eigvalsh(torch.linalg.solve_triangular(L, half.T, upper=False))
    assert float(values[: p - quadratic].max()) < 0.02
    assert torch.allclose(values[p - quadratic :], torch.ones(quadratic), atol=1e-6)
    assert p - quadratic == d * (d - 1) // 2
