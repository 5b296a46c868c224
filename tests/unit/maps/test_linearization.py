"""Products with J from shared buffers: fused, kept or recomputed, without allocation."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from bound import ensemble_of
from oracles import dense_jacobian, perturb
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpc_wgf.maps import (
    Affine,
    BlockFlow,
    Composition,
    ConvexGradient,
    ModuleMap,
    NeuralODE,
    PlanarFlow,
    PushForward,
    RadialBasis,
    RealNVP,
    ResidualPerceptron,
    SoftmaxGates,
)
from hpc_wgf.metric import GramOperator
from hpc_wgf.parallel import LocalCommunicator, tree_sum

N = 400  # samples: more than any map here has rows or parameters in a layer


def net(d: int) -> nn.Module:
    return nn.Sequential(nn.Linear(d, 6), nn.Tanh(), nn.Linear(6, d))


MAPS = {
    "affine": lambda: Affine(3),
    "planar": lambda: PlanarFlow(2, 7),
    "planar-solved": lambda: PlanarFlow(6, 7),
    "block": lambda: BlockFlow(3, 8),
    "perceptron": lambda: ResidualPerceptron(3, (9, 8, 7)),
    "rbf": lambda: RadialBasis(2, 7),
    "softmax": lambda: SoftmaxGates(2, [[0.0, 1.0], [1.0, 0.3], [-1.0, 0.5]], variance=0.4),
    "neural-ode": lambda: NeuralODE(2, 6, steps=4),
    "neural-ode-narrow": lambda: NeuralODE(4, 3, steps=4, linear=False),
    "real-nvp": lambda: RealNVP(3, 2, 5),
    "convex": lambda: ConvexGradient(3, 7),
    "composition": lambda: Composition(
        Affine(2), BlockFlow(2, 7), PlanarFlow(2, 3), ResidualPerceptron(2, (5, 6))
    ),
}
with_modules = MAPS | {
    "module": lambda: ModuleMap(3, net(3), anchored=True),
    "composition-module": lambda: Composition(BlockFlow(2, 3), ModuleMap(2, net(2), anchored=True)),
}
every_map = pytest.mark.parametrize("name", with_modules)


def gram_of(map: PushForward, z: torch.Tensor, *, budget: int | None = None) -> GramOperator:
    """Ĝ over z in chunks of unequal lengths."""
    linearizer = map.linearizer()
    chunks = [linearizer.linearize(part, budget=budget) for part in z.split([90, 110, 90, 110])]
    return GramOperator(chunks, ensemble_of(z.split([90, 110, 90, 110])))


class Allocations(TorchDispatchMode):
    """The lengths of all tensors that are made while it is on, of `least` numbers or more."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least, self.lengths = least, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for made in tree_leaves(result):
            if isinstance(made, torch.Tensor) and place(made) not in given:
                self.lengths += [made.numel()] if made.numel() >= self.least else []
        return result


def place(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()


@every_map
def test_fused_product_against_the_dense_matrix(name):
    map = perturb(with_modules[name]())
    z, v = torch.randn(N, map.dimension), torch.randn(map.parameter_count())
    J = dense_jacobian(map, z).flatten(0, 1)
    gram = gram_of(map, z)
    for _ in range(2):  # the second time on used buffers
        torch.testing.assert_close(gram.matvec(v), J.T @ (J @ v) / N, rtol=1e-10, atol=1e-12)


class Partial(LocalCommunicator):
    """Keeps what a rank brings to the sum over all."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        self.brought = tensor.clone()
        return tensor


@every_map
@pytest.mark.parametrize("ranks", [2, 4])
def test_products_on_ranks_add_up_to_the_bit(name, ranks):
    """Once the division by n came before the sum over the ranks, and a planar flow's θ-vectors
    were multiplied with its weights before it: 2 ranks had other last bits than one."""
    map = perturb(with_modules[name]())
    z, v = torch.randn(N, map.dimension), torch.randn(map.parameter_count())
    whole = gram_of(map, z)
    brought = []
    for rank in range(ranks):
        communicator = Partial()
        gram, own = gram_of(map, z), slice(rank * 4 // ranks, (rank + 1) * 4 // ranks)
        mine = ensemble_of(gram.ensemble.points[own], total=N, communicator=communicator)
        GramOperator(gram.chunks[own], mine).matvec(v)
        brought.append(communicator.brought)
    assert torch.equal(tree_sum(brought) / N, whole.matvec(v))


@pytest.mark.parametrize(
    ("name", "budget"),
    # Recomputed features of these take temporary tensors, as modules do.
    [(name, b) for name in MAPS for b in (None, 0) if b is None or name not in ("softmax", "rbf")],
)
def test_products_allocate_nothing_of_the_length_of_the_samples(name, budget):
    """Once every chunk made its activations' changes anew: a third of the time of small maps."""
    map = perturb(MAPS[name]())
    z, v = torch.randn(N, map.dimension), torch.randn(map.parameter_count())
    gram = gram_of(map, z, budget=budget)
    gram.matvec(v)
    least = 90
    vectors = len(gram.chunks[0].linearizer.packed()) + len(v)
    with Allocations(least) as made:
        gram.matvec(v)
    assert all(length <= vectors for length in made.lengths)
    assert sum(length >= least for length in made.lengths) <= 12 * (name == "composition") + 4
    with Allocations(least) as made:  # what a product made of its halves does
        gram.chunks[0].vjp(gram.chunks[0].jvp(v))
    assert 90 * map.dimension in made.lengths


@every_map
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_recomputed_products_are_those_of_kept_linearisations_to_the_bit(name, share):
    map = perturb(with_modules[name]())
    z, v = torch.randn(N, map.dimension), torch.randn(map.parameter_count())
    kept = gram_of(map, z)
    whole = sum(J.nbytes for J in kept.chunks)
    budget = int(share * whole)
    some = gram_of(map, z, budget=budget)
    assert sum(J.nbytes for J in some.chunks) <= budget
    assert [J.nbytes > 0 for J in some.chunks] == [share > 0, share > 0, False, False]
    assert torch.equal(some.matvec(v), kept.matvec(v))
    assert some.square_norm(v) == kept.square_norm(v)
    for one, other in zip(some.chunks, kept.chunks, strict=True):
        dz = torch.randn_like(one.jvp(v))
        assert torch.equal(one.jvp(v, dz), other.jvp(v, dz))
        pairs = zip(one.vjp(dz, inputs=True), other.vjp(dz, inputs=True), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        layers = zip(one.layers(dz[:, None])[0], other.layers(dz[:, None])[0], strict=True)
        assert all(torch.equal(a.sensitivity, b.sensitivity) for a, b in layers)


@every_map
def test_results_are_not_written_over_by_other_chunks(name):
    map = perturb(with_modules[name]())
    linearizer = map.linearizer()
    one, other = (linearizer.linearize(torch.randn(N, map.dimension), budget=b) for b in (None, 0))
    v, u = torch.randn(map.parameter_count()), torch.randn(N, map.dimension)
    results = [one.jvp(v), *one.vjp(u, inputs=True), other.jvp(v), *other.vjp(u, inputs=True)]
    layers = [x for J in (one, other) for layer in J.layers(u[:, None])[0] for x in (
        layer.sensitivity, layer.input
    )]  # fmt: skip
    before = [x.clone() for x in results + layers]
    for J in (one, other):
        J.jvp(2 * v, u)
        J.vjp(3 * u, inputs=True)
        J.linearizer.linearize(torch.randn(N, map.dimension), budget=0).layers(u[:, None])
    assert all(torch.equal(x, y) for x, y in zip(results + layers, before, strict=True))


@every_map
def test_parameters_are_those_of_the_linearisation(name):
    """The products of a stage must not follow the map to the next stage's parameters."""
    map = perturb(with_modules[name]())
    z, v = torch.randn(N, map.dimension), torch.randn(map.parameter_count())
    grams = [gram_of(map, z, budget=budget) for budget in (None, 0)]
    before = [gram.matvec(v) for gram in grams]
    map.set_theta(map.get_theta() + 1)
    assert all(torch.equal(gram.matvec(v), x) for gram, x in zip(grams, before, strict=True))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("affine", 4),
        ("planar", 3 + 7 + 2 * 7),
        ("planar-solved", 7 + 7),
        ("block", 4 + 8),
        ("perceptron", 4 + 10 + 9 + 8),
        ("rbf", 7 + 2 + 1),
        ("softmax", 3 * 2 + 2 * 2 + 2 + 1),
        ("neural-ode", 4 * 4 * (1 + 2 + 1 + 6)),
        ("neural-ode-narrow", 4 + 1 + 3 + 2 * 4 * 4 * 3),
        ("real-nvp", (2 + 1 + 5 + 2) + (1 + 1 + 5 + 4)),
        ("convex", 4 + 7),
        ("composition", 3 + (3 + 7) + (3 + 3 + 2 * 3) + (3 + 6 + 7)),
    ],
)
def test_memory_of_a_sample(name, numbers):
    """Activations and ones; not their slopes, nor copies of the parameters in each chunk."""
    map = MAPS[name]().float()
    linearizer = map.linearizer()
    assert linearizer.bytes_per_sample == 4 * numbers
    chunk = linearizer.linearize(torch.randn(N, map.dimension, dtype=torch.float32))
    assert chunk.nbytes == linearizer.kept_bytes == 4 * numbers * N


def test_memory_of_a_module_is_that_of_its_graph():
    """Its samples and the images of Tanh, but not the 1000 numbers of its buffer and weights."""
    module = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 3), nn.Dropout(0.0))
    module.register_buffer("unused", torch.zeros(1000))
    bytes_per_sample = ModuleMap(3, module).linearizer().bytes_per_sample
    assert 8 * (3 + 6) <= bytes_per_sample <= 8 * (3 + 6 + 3)


def test_leaves_are_large_enough_for_wide_maps_and_small_enough_for_the_cache():
    sizes = [BlockFlow(2, width).chunk_size() for width in (10, 50, 256, 5000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 512
    assert all(
        size * width * 8 <= 2**20 for size, width in zip(sizes[:3], (10, 50, 256), strict=True)
    )


@every_map
def test_buffers_end_with_their_linearizer(name):
    """Without Python's look for cycles, which comes late: those of earlier steps were kept."""
    map = with_modules[name]()
    linearizer = map.linearizer()
    linearizer.linearize(torch.randn(20, map.dimension)).jvp(map.get_theta())
    buffers = weakref.ref(linearizer.workspace)
    gc.disable()
    try:
        del linearizer
        assert buffers() is None
    finally:
        gc.enable()
