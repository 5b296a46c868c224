"""Ĝ by layers, against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles import dense_jacobian, perturb

from hpc_wgf.choices import Preconditioning
from hpc_wgf.krylov import minres
from hpc_wgf.maps import Affine, BlockFlow, Composition, PlanarFlow, ResidualPerceptron
from hpc_wgf.matrix_field import MatrixField
from hpc_wgf.metric import Subsample, build, default_preconditioner, subsample_size
from hpc_wgf.metric.diagonal_blocks import DiagonalBlocks
from hpc_wgf.metric.layered_gram import LayeredGram
from hpc_wgf.metric.layered_moments import layered_gram
from hpc_wgf.parallel import LocalCommunicator

N, SHIFT = 200, 1e-6


def of_all(map, weights=None, roots=None, n: int = N) -> tuple[Subsample, torch.Tensor]:
    torch.manual_seed(1)
    parts = torch.randn(n, map.dimension).tensor_split(4)
    split = None if weights is None else weights.tensor_split(4)
    sizes = [[len(part) for part in parts]]
    sample = Subsample.of(map, parts, sizes, n, LocalCommunicator(), split, roots)
    return sample, torch.cat(parts)


def dense_gram(map, z: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    J = dense_jacobian(map, z)
    if weights is not None:
        J = J * weights.sqrt()[:, None, None]
    J = J.reshape(-1, map.parameter_count())
    return J.T @ J / len(z)


def spectrum(model: LayeredGram, gram: torch.Tensor, shift: float = SHIFT) -> torch.Tensor:
    """The eigenvalues of L⁻¹(Ĝ + εI)L⁻ᵀ, 1 where the model is exact; `gram`: Ĝ."""
    model = replace(model, rows=1e12)  # nothing is left to noise
    epsilon = shift * model.norm
    M, eye = model.shifted(epsilon, torch.float64), torch.eye(len(gram))
    lower = torch.stack([M.solve_lower(column) for column in eye], 1)
    return torch.linalg.eigvalsh(lower @ (gram + epsilon * eye) @ lower.T)


def assert_exact(map, tolerance: float, weights: torch.Tensor | None = None) -> None:
    sample, z = of_all(map, weights)
    model = layered_gram(sample, SHIFT)
    assert model is not None
    gram = dense_gram(map, z, weights)
    assert 0.7 < model.norm / float(torch.linalg.eigvalsh(gram)[-1]) < 1.1
    found = spectrum(model, gram)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
def test_at_the_start_it_is_the_metric(weighted):
    """U = 0: then M = I, and units move nothing."""
    weights = torch.rand(N) + 0.5 if weighted else None
    assert_exact(Composition(Affine(3), BlockFlow(3, 5)), 1e-8, weights)


def test_of_an_affine_map_after_a_unit_it_is_the_metric():
    """M = I + A is the same everywhere, and the direction of the unit too."""
    torch.manual_seed(3)
    map = perturb(Composition(BlockFlow(3, 1), Affine(3)), 0.3)
    assert_exact(map, 1e-4)


def test_units_of_one_output_are_one_block():
    """What they have in common is kept, and all of it where they move one output only."""
    map = BlockFlow(3, 4)
    with torch.no_grad():
        map.U[1] = torch.tensor([0.3, -0.2, 0.5, 0.4])
    assert_exact(map, 1e-6)


def test_outputs_that_move_otherwise_at_every_sample():
    """M = I + U D W: eigenvalues are about 1, where those of Ĝ go down to the shift."""
    torch.manual_seed(3)
    map = perturb(Composition(Affine(3), BlockFlow(3, 6)), 0.15)
    sample, z = of_all(map)
    model = layered_gram(sample, SHIFT)
    assert model is not None
    assert model.inner[0].departure > 0.01
    found = spectrum(model, dense_gram(map, z))
    assert float(found[0]) > 0.005
    assert float(found[-1]) < 6.0
    assert float(found.median()) == pytest.approx(1.0, abs=0.1)


def test_units_that_move_nothing_are_left_out():
    map = Composition(Affine(3), BlockFlow(3, 4))
    with torch.no_grad():
        map.parts[1].U[:, 0], map.parts[1].U[:, 1] = 0.5, 1e-9
    model = layered_gram(of_all(map)[0], SHIFT)
    assert model is not None
    assert sum(group.ways.shape[1] for group in model.groups) == 1
    assert len(model.weak) == 3 * 4


class Products:
    """v ↦ Ĝv at samples z."""

    def __init__(self, map, z: torch.Tensor) -> None:
        self.J, self.n = map.linearize(z), len(z)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        return self.J.vjp(self.J.jvp(v))[0] / self.n


def test_few_products_in_many_dimensions():
    """Of a map near its start, where axes are more than the 64 directions of a subsample."""
    map = perturb(Composition(Affine(70), BlockFlow(70, 4)), 1e-3)
    sample, z = of_all(map, n=600)
    gram = Products(map, z)
    b = gram.matvec(torch.randn(map.parameter_count()))
    taken = {}
    for kind in (Preconditioning.LAYERS, Preconditioning.KRONECKER):
        model = build(sample, kind, SHIFT).model
        epsilon = SHIFT * model.norm
        M = model.shifted(epsilon, torch.float64)
        _, stats = minres(gram, b, rtol=1e-6, shift=epsilon, preconditioner=M)
        assert stats.converged
        taken[kind] = stats.products
    assert taken[Preconditioning.LAYERS] <= 12
    assert taken[Preconditioning.KRONECKER] > 3 * taken[Preconditioning.LAYERS]


def test_a_matrix_of_mobility_is_left_to_blocks():
    map = Composition(Affine(3), BlockFlow(3, 5))
    root = torch.linalg.cholesky(torch.eye(3) + 0.5)
    sample, _ = of_all(map, roots=[MatrixField(root[None])] * 4)
    assert layered_gram(sample, SHIFT) is None
    assert isinstance(build(sample, Preconditioning.LAYERS, SHIFT).model, DiagonalBlocks)


class Rank:
    """One of two ranks that run one after the other: the second gets what the first has sent, and
    the first nothing."""

    size, device, capturable = 2, torch.device("cpu"), False

    def __init__(self, rank: int, sent: list[torch.Tensor]) -> None:
        self.rank, self.sent = rank, sent

    def exchange(self, send, to, receive, source):
        self.sent.append(send.clone())
        receive.copy_(self.sent[0]) if self.rank == 1 else receive.zero_()
        return lambda: None


@pytest.mark.parametrize("kind", [Preconditioning.LAYERS, Preconditioning.OUTPUTS])
def test_blocks_are_factored_by_one_rank_each(kind):
    """The bits of the factors are those of one rank, and each of two makes some."""
    map = perturb(Composition(Affine(3), BlockFlow(3, 6)), 0.2)
    model = build(of_all(map)[0], kind, SHIFT).model
    v, sent = torch.randn(map.parameter_count()), []
    alone = model.shifted(1e-6, torch.float64)
    replace(model, communicator=Rank(0, sent)).shifted(1e-6, torch.float64)
    shared = replace(model, communicator=Rank(1, sent)).shifted(1e-6, torch.float64)
    zeros = [int((each == 0).sum()) for each in sent]
    assert zeros[0] < zeros[1] < len(sent[1])  # of three blocks, two and one
    assert torch.equal(alone(v), shared(v))


@pytest.mark.parametrize("kind", [Preconditioning.LAYERS, Preconditioning.OUTPUTS])
def test_units_of_one_output_each_are_blocks(kind):
    """These are exact there, and others are not."""
    torch.manual_seed(0)
    map = perturb(Composition(Affine(3), BlockFlow(3, 6)), 0.2)
    assert isinstance(build(of_all(map)[0], Preconditioning.LAYERS, SHIFT).model, LayeredGram)
    with torch.no_grad():
        map.parts[1].U.mul_(torch.eye(3).repeat(1, 2) + 0.05)
    model = build(of_all(map)[0], kind, SHIFT).model
    assert isinstance(model, DiagonalBlocks)
    assert len(model.matrices) == 3


def test_which_maps_take_it():
    wide = Composition(Affine(128), BlockFlow(128, 32))
    assert default_preconditioner(wide) is Preconditioning.LAYERS
    assert subsample_size(wide, Preconditioning.LAYERS) == 8000
    assert default_preconditioner(BlockFlow(1000, 64)) is Preconditioning.LAYERS
    deep = ResidualPerceptron(15, (100, 100, 100))
    assert default_preconditioner(deep) is Preconditioning.KRONECKER
    behind = Composition(Affine(40), PlanarFlow(40, 3))
    assert default_preconditioner(behind) is not Preconditioning.LAYERS
