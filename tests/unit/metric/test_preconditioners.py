"""Preconditioners of the metric, against dense matrices."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from every_map import MAPS, D
from oracles import dense_jacobian, perturb

from hpc_wgf.choices import Features, Preconditioning
from hpc_wgf.krylov import DenseOperator, minres
from hpc_wgf.maps import Affine, BlockFlow, Composition, PlanarFlow, ResidualPerceptron
from hpc_wgf.metric import Subsample, build, default_preconditioner, subsample_size
from hpc_wgf.metric.block_gram import blocks_by_output, gram, mean_energies, probed_grams
from hpc_wgf.metric.diagonal_blocks import DiagonalBlocks, _PaddedCholesky
from hpc_wgf.metric.kronecker import KroneckerFactors
from hpc_wgf.metric.layer_gram import gram_of_layers
from hpc_wgf.metric.nystrom import LowRank, gram_product
from hpc_wgf.metric.subsample import axes_fit, layers_at
from hpc_wgf.parallel import LocalCommunicator

N = 90
KINDS = [kind for kind in Preconditioning if kind not in ("automatic", "none")]


def subsample(map, chunks: int = 4, wanted: int = N) -> tuple[Subsample, torch.Tensor]:
    """A subsample of `wanted` points in chunks, and the points that it takes."""
    torch.manual_seed(1)
    parts = torch.randn(wanted, map.dimension).tensor_split(chunks)
    sizes = [[len(part) for part in parts]]
    sample = Subsample.of(map, parts, sizes, wanted, LocalCommunicator())
    return sample, torch.cat(list(sample.pieces.values()))


def dense_gram(map, z: torch.Tensor) -> torch.Tensor:
    J = dense_jacobian(map, z).reshape(-1, map.parameter_count())
    return J.T @ J / len(z)


def composed():
    return perturb(Composition(Affine(3), BlockFlow(3, 9)), 0.3)


@pytest.mark.parametrize("name", MAPS)
def test_gram_of_layers_is_the_dense_one(name):
    map = perturb(MAPS[name](), 0.2)
    z = torch.randn(7, D)
    layers, _ = map.linearize(z).layers(torch.eye(D).repeat(7, 1, 1))
    places = torch.cat([layer.index.reshape(-1) for layer in layers])
    expected = 7 * dense_gram(map, z)[places][:, places]
    torch.testing.assert_close(gram_of_layers(layers), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MAPS)
def test_a_gram_that_knows_of_axes_has_the_same_bits(name):
    map = perturb(MAPS[name](), 0.2)
    directions = torch.eye(D).repeat(40, 1, 1)
    layers, _ = map.linearize(torch.randn(40, D)).layers(directions)
    known = [replace(e, on_axes=e.sensitivity is directions) for e in layers]
    assert torch.equal(gram_of_layers(known), gram_of_layers(layers))


@pytest.mark.parametrize("sizes", [(1, 8, 3), (40, 2, 2), (3, 1, 30), (2, 30, 1), (1, 1, 50)])
def test_every_arrangement_of_the_sum_is_the_same(sizes):
    """Blocks of layers in which one or the other side has few units, or few inputs."""
    from hpc_wgf.maps import ParameterLayer

    h, k, m = sizes
    one = ParameterLayer(torch.randn(5, 3, h), torch.randn(5, k), torch.zeros(h, k))
    two = ParameterLayer(torch.randn(5, 3, 4), torch.randn(5, m), torch.zeros(4, m))
    gram = gram_of_layers([one, two])
    rows = [
        (each.sensitivity[..., None] * each.input[:, None, None]).reshape(15, -1)
        for each in (one, two)
    ]
    J = torch.cat(rows, 1)
    torch.testing.assert_close(gram, J.T @ J, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunks", [1, 3, 8])
def test_blocks_by_output_are_blocks_of_the_metric(chunks):
    """Every parameter in one block; a column of U and an axis-aligned unit with their output."""
    map = composed()
    sample, z = subsample(map, chunks)
    layers = layers_at(map)
    blocks = blocks_by_output(layers, mean_energies(sample, layers))
    places = torch.cat([block.index for block in blocks])
    assert torch.equal(places.sort().values, torch.arange(map.parameter_count()))
    expected = dense_gram(map, z)
    for block in blocks:
        own = expected[block.index][:, block.index]
        torch.testing.assert_close(gram(sample, block), own, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_probe_is_exact_where_the_units_of_a_block_move_one_output(chunks):
    map = Composition(Affine(3), BlockFlow(3, 9))
    with torch.no_grad():  # every unit reads one coordinate and moves it
        own = torch.arange(9) % 3 == torch.arange(3)[:, None]
        map.parts[1].U.copy_(torch.randn(3, 9) * own)
        map.parts[1].W.copy_(torch.randn(9, 3) * own.T)
    sample, _ = subsample(map, chunks)
    layers = layers_at(map)
    blocks = blocks_by_output(layers, mean_energies(sample, layers))
    for block, probed in zip(blocks, probed_grams(sample, blocks), strict=True):
        torch.testing.assert_close(probed, gram(sample, block), rtol=1e-10, atol=1e-12)


def test_probes_are_the_metric_in_the_mean():
    """At one point, 4000 times."""
    map, times = composed(), 4000
    z = torch.tensor([[0.3, -0.7, 1.1]]).repeat(times, 1)
    sample = Subsample.of(map, [z], [[times]], times, LocalCommunicator())
    layers = layers_at(map)
    blocks = blocks_by_output(layers, mean_energies(sample, layers))
    for block, probed in zip(blocks, probed_grams(sample, blocks), strict=True):
        own = gram(sample, block)
        assert float((probed - own).norm()) < 5 * times**-0.5 * float(own.norm())
        assert float((probed - own).norm()) > 0.0


def test_units_stand_in_the_block_of_the_output_that_they_move():
    map = BlockFlow(3, 6)
    with torch.no_grad():
        map.U.zero_()
        for unit in range(5):  # the last unit moves nothing
            map.U[2 - unit % 3, unit] = 10.0 ** (unit % 3)
    sample, _ = subsample(map)
    layers = layers_at(map)
    units = [
        block.units[0].tolist() for block in blocks_by_output(layers, mean_energies(sample, layers))
    ]
    assert units == [[2], [1, 4], [0, 3, 5]]


@pytest.mark.parametrize("kind", [Preconditioning.DENSE, Preconditioning.NYSTROM])
def test_of_all_samples_it_is_the_inverse(kind):
    """Then MINRES needs one product, and one to verify."""
    map = composed()
    sample, z = subsample(map)
    gram = dense_gram(map, z)
    model = build(sample, kind, 1e-9).model
    if isinstance(model, DiagonalBlocks):
        model = replace(model, rows=math.inf)  # nothing is left to noise
    epsilon = 1e-6 * model.norm
    assert model.norm == pytest.approx(float(torch.linalg.eigvalsh(gram)[-1]), rel=0.05)
    b = gram @ torch.randn(len(gram))
    _, stats = minres(
        DenseOperator(gram), b, rtol=1e-8, shift=epsilon,
        preconditioner=model.shifted(epsilon, torch.float64),
    )  # fmt: skip
    assert stats.converged
    assert stats.products <= 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_its_factors_make_it_up_and_it_is_positive(kind, dtype):
    """L⁻ᵀ L⁻¹ v, symmetric and positive, in either precision; the argument stays as it is."""
    map = composed()
    model = build(subsample(map)[0], kind, 1e-6).model
    M = model.shifted(1e-6 * model.norm, dtype)
    eye = torch.eye(map.parameter_count(), dtype=dtype)
    kept = eye.clone()
    inverse = torch.stack([M(column) for column in eye], 1)
    factor = torch.stack([M.solve_upper(column) for column in eye], 1)
    lower = torch.stack([M.solve_lower(column) for column in eye], 1)
    assert torch.equal(eye, kept)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    scale = float(inverse.abs().max())
    torch.testing.assert_close(factor.T, lower, rtol=tolerance, atol=tolerance * scale**0.5)
    torch.testing.assert_close(factor @ lower, inverse, rtol=tolerance, atol=tolerance * scale)
    assert float(torch.linalg.eigvalsh(0.5 * (inverse + inverse.T).double())[0]) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_saves_products(kind):
    """On the system of other samples than those it was made from, after as many products the
    least-squares objective ½|Jη|² + … is nearer to its minimum. A separable flow."""
    map = Composition(Affine(3), BlockFlow(3, 24, features=Features.AXIS, spread=3.0))
    units = torch.arange(24)
    with torch.no_grad():
        map.parts[1].U[units % 3, units] = 0.1 * torch.randn(24)
    sample, _ = subsample(map, wanted=2000)
    z = torch.randn(600, 3)
    gram = DenseOperator(dense_gram(map, z))
    J = dense_jacobian(map, z)
    b = torch.einsum("ndp,nd->p", J, z**3 - z) / len(z)
    model = build(sample, kind, 1e-6).model
    epsilon = 1e-6 * model.norm
    shifted = gram.matrix + epsilon * torch.eye(len(b))
    least = -0.5 * b @ torch.linalg.solve(shifted, b)
    above = []
    for M in (None, model.shifted(epsilon, torch.float64)):
        x, _ = minres(gram, b, rtol=1e-13, shift=epsilon, preconditioner=M, max_steps=25)
        above.append(float(0.5 * x @ shifted @ x - b @ x - least))
    # Outputs that move otherwise at every sample are described by their means in `layers`.
    assert above[1] < {"kronecker": 1.0, "layers": 0.1}.get(kind, 0.01) * above[0]


def test_kronecker_factors_are_exact_for_a_last_layer():
    """At the start U = 0: Ĝ is I ⊗ E[aaᵀ] for U, and 0 for the rest."""
    map = BlockFlow(3, 5)
    sample, z = subsample(map)
    model = build(sample, Preconditioning.KRONECKER, 1e-6).model
    gram = dense_gram(map, z)
    epsilon = 0.01
    inverse = torch.linalg.inv(gram + epsilon * torch.eye(len(gram)))
    M = model.shifted(epsilon, torch.float64)
    v = torch.randn(len(gram))
    torch.testing.assert_close(M(v), inverse @ v, rtol=1e-9, atol=1e-9)


def test_products_with_many_vectors_at_once():
    map = perturb(ResidualPerceptron(3, (5, 4)), 0.3)
    sample, z = subsample(map)
    V = torch.randn(map.parameter_count(), 6)
    torch.testing.assert_close(gram_product(sample, V), dense_gram(map, z) @ V)


def test_nystrom_cuts_its_rank_where_the_eigenvalues_reach_the_shift():
    map = perturb(Composition(Affine(3), BlockFlow(3, 40)), 0.3)
    sample, z = subsample(map)
    values = torch.linalg.eigvalsh(dense_gram(map, z)).flip(0)
    for shift in (1e-2, 1e-4):
        model = build(sample, Preconditioning.NYSTROM, shift).model
        assert isinstance(model, LowRank)
        expected = int((values > shift * values[0]).sum())
        assert abs(len(model.values) - expected) <= 0.2 * expected + 1


def test_a_block_of_few_rows_is_shifted_further():
    matrix, v = torch.diag(torch.tensor([1.0, 1e-9])), torch.ones(2)
    found = [
        DiagonalBlocks([matrix], [torch.arange(2)], rows).shifted(1e-3, torch.float64)(v)[1]
        for rows in (4.0, math.inf)
    ]
    assert float(found[0] * 126) == pytest.approx(float(found[1]), rel=1e-3)


def test_a_singular_block_is_factored_with_a_larger_shift():
    model = DiagonalBlocks([torch.ones(6, 6)], [torch.arange(6)])
    v = torch.randn(6)
    assert bool(torch.isfinite(model.shifted(0.0, torch.float64)(v)).all())


def test_one_singular_block_of_equal_ones_is_shifted_alone():
    matrices = [torch.ones(6, 6), torch.eye(6)]
    model = DiagonalBlocks(matrices, [torch.arange(6), torch.arange(6, 12)])
    v = torch.randn(12)
    assert torch.equal(
        model.shifted(1e-20, torch.float64)(v)[6:],
        DiagonalBlocks(matrices[1:], [torch.arange(6)]).shifted(1e-20, torch.float64)(v[6:]),
    )


def test_blocks_that_are_filled_up_are_those_of_each_size():
    """Blocks of 2, 5 and 3 parameters, whose places in θ are mixed."""
    generator = torch.Generator().manual_seed(4)
    places = torch.randperm(10, generator=generator).split([2, 5, 3])
    matrices = []
    for index in places:
        rows = torch.randn(20, len(index), generator=generator)
        matrices.append(rows.T @ rows)
    each = DiagonalBlocks(matrices, places).shifted(0.1, torch.float64)
    whole = _PaddedCholesky.of(each.inverses, each.indices, 5)
    v = torch.randn(10, generator=generator)
    for name in ("solve_upper", "solve_lower", "__call__"):
        found = getattr(whole, name)(v)
        assert torch.allclose(found, getattr(each, name)(v), rtol=1e-13, atol=1e-13)
    dense = torch.zeros(10, 10)
    for index, matrix in zip(places, matrices, strict=True):
        dense[index[:, None], index] = matrix + 0.1 * torch.eye(len(index))
    assert torch.allclose(dense @ whole(v), v, atol=1e-12)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_block_that_is_not_finite_ends_in_not_a_number(value):
    """Its shift was raised for ever."""
    model = DiagonalBlocks([torch.full((3, 3), value)], [torch.arange(3)])
    assert model.shifted(1e-3, torch.float64)(torch.ones(3)).isnan().all()


def test_directions_of_a_high_dimension_are_the_axes_in_the_mean():
    map = BlockFlow(70, 3)
    assert axes_fit(64)
    assert not axes_fit(70)
    sample, _ = subsample(map)

    def add(total, chunk):
        total += torch.einsum("neh,neg->hg", chunk[1].sensitivity, chunk[1].sensitivity)

    total = sample.mean(add, [70, 70])
    assert float((total - torch.eye(70)).abs().max()) < 0.15
    assert isinstance(build(sample, Preconditioning.KRONECKER, 1e-6).model, KroneckerFactors)


def test_the_kind_that_fits():
    assert default_preconditioner(Composition(Affine(5), BlockFlow(5, 32))) is Preconditioning.DENSE
    wide = Composition(Affine(30), BlockFlow(30, 240))
    assert default_preconditioner(wide) is Preconditioning.LAYERS
    assert default_preconditioner(ResidualPerceptron(15, (50, 50, 50))) is Preconditioning.OUTPUTS
    assert (
        default_preconditioner(ResidualPerceptron(15, (100, 100, 100))) is Preconditioning.KRONECKER
    )
    assert default_preconditioner(PlanarFlow(2, 40)) is Preconditioning.DENSE
    assert default_preconditioner(PlanarFlow(10, 60)) is Preconditioning.NONE


def test_a_block_takes_fewer_samples_where_products_take_little():
    map = Composition(Affine(5), BlockFlow(5, 32))
    sizes = [subsample_size(map, Preconditioning.DENSE, n) for n in (100, 4000, 6000, 10**6)]
    assert sizes[0] == 500
    # 25 products of 8 n p operations, at 2 p² a sample.
    assert sizes[1] == -(-25 * 8 * 4000 // (2 * map.parameter_count()))
    assert sizes[1] < sizes[2] < sizes[3] == 2000
    few_rows = BlockFlow(1, 300)
    assert subsample_size(few_rows, Preconditioning.DENSE, 100) == 4 * few_rows.parameter_count()
