"""The weight P⁻¹ of a mobility in every product and preconditioner: against sums written out."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.choices import Preconditioning
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.matrix_field import MatrixField
from hpc_wgf.metric import FeatureGram, GramOperator, JacobianRows, build_for
from hpc_wgf.parallel import LocalCommunicator

N, D = 400, 3
SHAPES = ("numbers", "diagonals", "one matrix", "matrices")


def field(kind, z):
    """P at samples z in one of the four forms."""
    if kind == "numbers":
        return MatrixField(0.5 + z[:, 0].square())
    if kind == "diagonals":
        return MatrixField(0.5 + z.square())
    A = torch.randn(D, D, generator=torch.Generator().manual_seed(0), dtype=z.dtype)
    if kind == "one matrix":
        return MatrixField((A @ A.T + torch.eye(D))[None])
    return MatrixField(A @ A.T + torch.eye(D) + z[:, :, None] * z[:, None, :])


@pytest.fixture
def ensemble():
    start = wgf.Gaussian(D, 0.3, 0.7)
    z = start.from_normal(torch.randn(N, D))
    cloud = Cloud(z, start.log_density(z), start.score(z), log_weight=0.5 * torch.randn(N))
    chunks = [cloud.at(slice(0, 150)), cloud.at(slice(150, N))]
    return Ensemble(chunks, [[150, 250]], LocalCommunicator())


def exact(map, ensemble, kind):
    """Ĝ, (p, p), and R of every chunk."""
    z, weights = torch.cat(ensemble.points), ensemble.own_weights
    eye = torch.eye(map.parameter_count())
    J = torch.stack([map.linearize(z).jvp(each).clone() for each in eye], 2)
    inverse = torch.linalg.inv(field(kind, z).dense(N, D))
    roots = [field(kind, part).inverse_factors[0] for part in ensemble.points]
    return torch.einsum("nip,nij,njr,n->pr", J, inverse, J, weights) / N, roots


@pytest.mark.parametrize("kind", SHAPES)
def test_products_rows_and_preconditioners(ensemble, kind):
    map = wgf.Composition(wgf.Affine(D), wgf.BlockFlow(D, 4)).double()
    map.set_theta(map.get_theta() + 0.1 * torch.randn(map.parameter_count()))
    G, roots = exact(map, ensemble, kind)
    chunks = [map.linearizer().linearize(part) for part in ensemble.points]
    v = torch.randn(map.parameter_count())
    gram, rows = GramOperator(chunks, ensemble, roots), JacobianRows(chunks, ensemble, roots)
    assert torch.allclose(gram.matvec(v), G @ v, rtol=1e-11, atol=1e-12)
    assert gram.square_norm(v) == pytest.approx(float(v @ G @ v), rel=1e-11)
    assert gram.square_motion(v) == pytest.approx(GramOperator(chunks, ensemble).square_norm(v))
    assert torch.allclose(rows.rmatvec(rows.matvec(v)), G @ v, rtol=1e-11, atol=1e-12)
    for name in ("dense", "nystrom"):
        built = build_for(map, ensemble, Preconditioning(name), 1e-9, roots)
        applied = built.model.shifted(1e-9, torch.float64)(G @ v + 1e-9 * v)
        reached = G @ applied
        factor = torch.dot(reached, G @ v) / torch.dot(reached, reached)  # is free
        assert torch.allclose(factor * reached, G @ v, rtol=1e-5, atol=1e-7), name
    # Those of blocks and of Kronecker factors are no inverses; they must see the same scale.
    for name in ("outputs", "kronecker"):
        model = build_for(map, ensemble, Preconditioning(name), 1e-9, roots).model
        assert 0.3 < model.norm / float(torch.linalg.matrix_norm(G, 2)) < 1.5, name


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("map", [wgf.Affine(D), wgf.AxisSpline(D, 6)], ids=["affine", "spline"])
def test_the_metric_of_features_with_smoothing_and_curvature(ensemble, map, kind):
    """Direct solves: products with Ĝ, and (Ĝ + aH)⁻¹Ĝ for an H that is given by blocks."""
    map = map.double()
    G, roots = exact(map, ensemble, kind)
    gram, plain = FeatureGram.of(map, ensemble, roots), FeatureGram.of(map, ensemble)
    v = torch.randn(map.parameter_count())
    matrices = gram.shifted(0.0, 0.0, damped=False)
    assert torch.allclose(gram.applied(matrices, v), G @ v, rtol=1e-11, atol=1e-12)
    smooth, rough = gram.shifted(0.1, 0.5, damped=True), plain.shifted(0.1, 0.5, damped=True)
    more = gram.applied(smooth, v) - gram.applied(matrices, v)
    bare = plain.shifted(0.0, 0.0, damped=False)
    assert torch.allclose(more, plain.applied(rough, v) - plain.applied(bare, v), atol=1e-12)
    blocks, q, m = plain.index.shape
    A = torch.randn(blocks, q * m, q * m)
    H, place = A @ A.mT, plain.index.reshape(blocks, -1)
    whole = torch.zeros_like(G)
    for block, at in zip(H, place, strict=True):
        whole[at[:, None], at[None, :]] = block
    eye = 0.1 * torch.eye(len(G))
    found = gram.resolvent(gram.shifted(0.1, 0.0, damped=False), gram.fitted(H), 0.7)(v)
    solved = torch.linalg.solve(G + eye + 0.7 * whole, (G + eye) @ v)
    assert torch.allclose(found, solved, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_field_of_matrices_acts_as_its_matrices(kind):
    z = torch.randn(10, D)
    M, v = field(kind, z), torch.randn(10, D)
    dense = M.dense(10, D)
    assert torch.allclose(M.times(v), torch.einsum("nij,nj->ni", dense, v))
    columns = v.T.contiguous()
    M.act_on_columns(columns)
    assert torch.allclose(columns.T, M.times(v))
    root, inverse = M.inverse_factors
    assert torch.allclose(inverse.times(M.times(v)), v)
    assert torch.allclose(root.transposed.times(root.times(v)), inverse.times(v))
    rows = torch.randn(10, 4, D)
    assert torch.allclose(M.rows_times(rows), rows @ dense)
    parts = [part.dense(len(x), D) for part, x in zip(M.split(4, 10), z.split(4), strict=True)]
    assert torch.allclose(torch.cat(parts), dense)


def test_what_is_not_positive_definite_has_no_inverse():
    indefinite = torch.tensor([[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    inverse = MatrixField(indefinite).inverse_factors[1].values
    assert inverse[0].isnan().all()
    assert torch.equal(inverse[1], torch.eye(2))
    assert MatrixField(torch.tensor([1.0, -1.0])).inverse_factors[0].values.isnan().tolist() == [
        False, True,
    ]  # fmt: skip
