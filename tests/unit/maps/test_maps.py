"""Every map: identity at the start, products, volume and score against autograd."""

from __future__ import annotations

import pytest
import torch
from bound import ensemble_of
from every_map import MAPS, D, Net, with_exact_volumes
from oracles import dense_jacobian, perturb

from hpc_wgf import InputError
from hpc_wgf.maps import (
    Affine,
    BlockFlow,
    Composition,
    ModuleMap,
    NeuralODE,
    PlanarFlow,
    ResidualPerceptron,
)
from hpc_wgf.metric import GramOperator
from hpc_wgf.problems import Gaussian

N = 30


every_map = pytest.mark.parametrize("name", MAPS)


@every_map
def test_starts_as_the_identity_exactly(name):
    map = MAPS[name]()
    z = torch.randn(N, D)
    image = map.transport(z, -z)
    assert torch.equal(map(z), z)
    assert torch.equal(image.x, z)
    assert torch.allclose(image.log_det, torch.zeros(N), atol=1e-14)
    assert torch.allclose(image.score, -z, atol=1e-13)
    assert image.positive.all()


@every_map
def test_products_against_the_dense_jacobian(name):
    map = perturb(MAPS[name]())
    z = torch.randn(N, D)
    J = dense_jacobian(map, z)
    linear = map.linearize(z)
    v, u = torch.randn(map.parameter_count()), torch.randn(N, D)
    assert torch.allclose(linear.jvp(v), J @ v, rtol=1e-11, atol=1e-12)
    grad, back = linear.vjp(u)
    assert back is None
    assert torch.allclose(grad, torch.einsum("ndp,nd->p", J, u), rtol=1e-11, atol=1e-11)
    gram = GramOperator([linear], ensemble_of([z]))
    dense = torch.einsum("ndp,ndq->pq", J, J) / N
    assert float((gram.matvec(v) - dense @ v).norm() / (dense @ v).norm()) < 1e-10
    assert gram.square_norm(v) == pytest.approx(float(v @ dense @ v), rel=1e-10)
    halves = [map.linearize(part) for part in z.split([7, N - 7])]
    assert torch.allclose(
        GramOperator(halves, ensemble_of(z.split([7, N - 7]))).matvec(v),
        dense @ v,
        rtol=1e-10,
        atol=1e-12,
    )


@every_map
def test_products_in_float32(name):
    map = perturb(MAPS[name]())
    z = torch.randn(N, D)
    v = torch.randn(map.parameter_count())
    exact = GramOperator([map.linearize(z)], ensemble_of([z])).matvec(v)
    map.float()
    single = GramOperator([map.linearize(z.float())], ensemble_of([z])).matvec(v.float())
    assert float((single - exact).norm() / exact.norm()) < 1e-4


@every_map
def test_linearisation_in_space(name):
    """jvp with a moving sample and vjp back to the sample: what compositions are made of."""
    map = perturb(MAPS[name]())
    z, dz, u = torch.randn(N, D), torch.randn(N, D), torch.randn(N, D)
    linear = map.linearize(z)
    gradient = torch.autograd.functional.jacobian(lambda z: map(z).sum(0), z).permute(1, 0, 2)
    zero = torch.zeros(map.parameter_count())
    expected = torch.einsum("nij,nj->ni", gradient, dz)
    assert torch.allclose(linear.jvp(zero, dz.clone()), expected, atol=1e-11)
    _, back = linear.vjp(u, inputs=True)
    assert torch.allclose(back, torch.einsum("nij,ni->nj", gradient, u), atol=1e-11)


@every_map
def test_products_leave_their_arguments_alone(name):
    """In-place arithmetic inside the products must not reach the caller's tensors."""
    map = perturb(MAPS[name]())
    z, dz, u = torch.randn(N, D), torch.randn(N, D), torch.randn(N, D)
    v = torch.randn(map.parameter_count())
    before = [t.clone() for t in (z, dz, u, v)]
    linear = map.linearize(z)
    first = linear.jvp(v, dz)
    linear.vjp(u, inputs=True)
    assert all(torch.equal(a, b) for a, b in zip((z, dz, u, v), before, strict=True))
    assert torch.equal(first, linear.jvp(v, dz))


@every_map
def test_volume_and_score_against_autograd(name):
    """Twice: log-det against the dense determinant, and the score against the derivative of
    log ρ along the images, ∇T^{-T} ∇_z[log λ − log det]."""
    map = with_exact_volumes(perturb(MAPS[name](), 0.25))
    start = Gaussian(D, mean=0.3, covariance=[1.0, 0.5, 2.0, 1.5])
    z = torch.randn(N, D)
    gradient = torch.autograd.functional.jacobian(lambda z: map(z).sum(0), z).permute(1, 0, 2)
    image = map.transport(z, start.score(z))
    assert image.positive.all()
    assert torch.allclose(image.log_det, torch.logdet(gradient), atol=1e-10)
    assert torch.allclose(image.x, map(z), atol=1e-13)

    def log_density(z):
        x, log_det = map.forward_and_logdet(z)
        return (start.log_density(z) - log_det).sum()

    slope = torch.autograd.functional.jacobian(log_density, z)
    expected = torch.linalg.solve(gradient.mT, slope[:, :, None])[:, :, 0]
    assert torch.allclose(image.score, expected, atol=1e-8)
    x, log_det = map.forward_and_logdet(z)
    assert torch.allclose(log_det, image.log_det, atol=1e-12)
    assert torch.allclose(x, image.x, atol=1e-13)


@pytest.mark.parametrize("name", ["affine", "planar", "block-wide", "block-narrow", "perceptron-1"])
def test_folding_is_seen(name):
    """A map that turns space inside out somewhere has samples with a negative determinant."""
    map = perturb(MAPS[name](), 6.0, seed=3)
    z = 2 * torch.randn(400, D)
    gradient = torch.autograd.functional.jacobian(lambda z: map(z).sum(0), z).permute(1, 0, 2)
    determinant = torch.linalg.det(gradient)
    positive = map.transport(z).positive
    assert (determinant < 0).any()
    if name == "planar":  # sees each layer's sign, which says more than the product's
        assert not positive[determinant < 0].any()
    else:
        assert torch.equal(positive, determinant > 0)


def test_planar_flow_is_a_composition_of_blocks_of_width_one():
    planar = perturb(PlanarFlow(D, 3))
    blocks = [BlockFlow(D, 1) for _ in range(3)]
    for k, block in enumerate(blocks):
        block.set_theta(torch.cat([planar.W[k], planar.b[k : k + 1], planar.U[k]]).detach())
    z = torch.randn(N, D)
    ours, theirs = planar.transport(z, -z), Composition(*blocks).transport(z, -z)
    assert torch.allclose(ours.x, theirs.x, atol=1e-13)
    assert torch.allclose(ours.score, theirs.score, atol=1e-12)


def test_theta_round_trip_and_split():
    map = MAPS["composition"]()
    theta = torch.randn(map.parameter_count())
    map.set_theta(theta)
    assert torch.equal(map.get_theta(), theta)
    with pytest.raises(InputError, match="length 3 for a map with"):
        list(map.split(torch.zeros(3)))


def test_only_the_last_layer_is_zero_at_the_start():
    """With every layer scaled down, nothing but the output bias could move."""
    J = dense_jacobian(ResidualPerceptron(D, (9, 8)).double(), torch.randn(N, D))
    movable = J.abs().amax((0, 1)) > 1e-3
    assert int(movable.sum()) == 8 * D + D


def test_modules_with_frozen_parameters_are_refused():
    net = Net(D)
    net.inner[0].bias.requires_grad_(False)
    with pytest.raises(InputError, match="inner.0.bias are frozen"):
        ModuleMap(D, net)


def test_a_map_stands_once_in_a_composition():
    part = Affine(D)
    with pytest.raises(InputError, match="stands twice"):
        Composition(part, part)


def test_composition_refuses_mixed_dimensions():
    with pytest.raises(InputError, match="differ in dimension"):
        Composition(Affine(2), Affine(3))


@every_map
def test_layers_are_the_jacobian_in_the_given_directions(name):
    """B ⊗ a at the places in θ that the layer names, every place once."""
    map = perturb(MAPS[name](), 0.2)
    z = torch.randn(6, D)
    jacobian = dense_jacobian(map, z).view(6, D, -1)
    directions = torch.randn(6, 3, D)
    linearization = map.linearize(z)
    layers, back = linearization.layers(directions.clone())
    rows = torch.full((6, 3, map.parameter_count()), torch.nan)
    for layer in layers:
        block = layer.sensitivity[..., None] * layer.input[:, None, None, :]
        assert bool(rows[:, :, layer.index].isnan().all())
        rows[:, :, layer.index] = block
    torch.testing.assert_close(rows, directions @ jacobian, rtol=1e-10, atol=1e-12)
    for e in range(3):
        pulled = linearization.vjp(directions[:, e], inputs=True)[1]
        torch.testing.assert_close(back[:, e], pulled, rtol=1e-10, atol=1e-12)


@every_map
@pytest.mark.parametrize("scored", [False, True])
def test_transport_of_leaves_is_that_of_each(name, scored):
    map = perturb(MAPS[name]())
    chunks = torch.randn(N, D).split([7, N - 7])
    scores = [-z for z in chunks] if scored else None
    images = map.transport_chunks(chunks, scores)
    for k, (z, image) in enumerate(zip(chunks, images, strict=True)):
        with torch.no_grad():
            alone = map.transport(z, scores and scores[k])
        differentiable = map.transport(z, scores and scores[k])
        for ours, theirs, other in zip(image, alone, differentiable, strict=True):
            assert ours is theirs is None or torch.equal(ours, theirs)
            assert ours is None or torch.allclose(ours.double(), other.double(), rtol=1e-12)


@every_map
def test_parameters_may_lie_row_by_row_in_memory(name):
    """As optimisers want them that cut a flat vector into parameters; once a block whose U lay so
    could not be viewed as a matrix."""
    map = perturb(MAPS[name]())
    z, u, v = torch.randn(N, D), torch.randn(N, D), torch.randn(map.parameter_count())

    def found() -> list[torch.Tensor]:
        linear = map.linearize(z)
        return [
            *map.transport(z, u)[:2],
            map.transport(z, u).score,
            linear.jvp(v),
            linear.vjp(u)[0],
        ]

    expected = found()
    for value in map.parameters():
        value.data = value.data.contiguous()
    for ours, theirs in zip(found(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_stages_have_the_same_bits_behind_one_chunk_and_two():
    """A product has other last bits for rows that do not lie one behind the other."""
    d, n = 8, 40
    first, second = (perturb(map, 0.2) for map in (NeuralODE(d, 12, steps=4), BlockFlow(d, 6)))
    z = torch.randn(n, d, dtype=torch.float64)

    def behind(chunks: int) -> tuple[torch.Tensor, ...]:
        parts = z.chunk(chunks)
        images = first.transport_chunks(parts, [-part for part in parts])
        assert all(image.x.is_contiguous() for image in images)
        found = second.transport_chunks(
            [image.x for image in images], [image.score for image in images]
        )
        return tuple(torch.cat(each) for each in zip(*found, strict=True))

    for one, two in zip(behind(1), behind(2), strict=True):
        assert torch.equal(one, two)
