"""Products of linearised maps by Triton's kernels: interpreted, against torch."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from kernels_on_cpu import interpreted
from oracles import perturb

from hpc_wgf.gpu import availability, kernels, products
from hpc_wgf.maps import (
    Affine,
    BlockFlow,
    Composition,
    PlanarFlow,
    RadialBasis,
    ResidualPerceptron,
)
from hpc_wgf.maps import chunk as chunk_module
from hpc_wgf.matrix_field import MatrixField
from hpc_wgf.parallel.gpus import Resource, settle

N = 50
MAPS = {
    "affine": lambda: Affine(5),
    "block": lambda: BlockFlow(5, 20),
    "affine and block": lambda: Composition(Affine(3), BlockFlow(3, 18)),
    "rbf and block": lambda: Composition(RadialBasis(2, 6), BlockFlow(2, 4)),
    "perceptron": lambda: ResidualPerceptron(2, (9, 8)),
    "planar": lambda: PlanarFlow(5, 4),
}
FUSED = {"affine", "block", "affine and block", "rbf and block"}


@contextmanager
def kernels_used():
    """Kernels are used here, in the interpreter; how often each of them was is counted."""
    counts = {"gram": 0, "sum_of_products": 0}

    def counted(name, function):
        def call(*arguments):
            counts[name] += 1
            return function(*arguments)

        return call

    with (
        interpreted(),
        patch.object(products, "TILES", 2),  # several programs for few samples
        patch.object(availability, "usable", lambda device: True),
        patch.object(kernels, "gram", counted("gram", kernels.gram)),
        patch.object(
            kernels, "sum_of_products", counted("sum_of_products", kernels.sum_of_products)
        ),
    ):
        yield counts


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("name", MAPS)
def test_a_product_is_that_of_torch(name, dtype, bound, monkeypatch):
    map = perturb(MAPS[name](), 0.3).to(dtype)
    z = torch.randn(N, map.dimension, dtype=dtype)
    v = torch.randn(map.parameter_count(), dtype=dtype)
    weights = MatrixField(torch.rand(N, dtype=dtype))
    found = []
    for field in (None, weights):
        J = map.linearize(z)
        linearizer = J.linearizer
        plain, fused = linearizer.packed(), linearizer.packed()
        J.gram(linearizer.direction(v), plain, field)
        with kernels_used() as counts:
            if name not in FUSED:
                monkeypatch.setattr(chunk_module, "_suits_a_library", lambda a, b: False)
            J.gram(linearizer.direction(v), fused, field)
        assert bool(counts["gram"]) == (name in FUSED)
        assert bool(counts["sum_of_products"]) == (name not in FUSED)
        found.append((plain, fused))
    for plain, fused in found:
        assert float((fused - plain).abs().max()) <= bound * float(plain.abs().max())


@pytest.mark.parametrize("name", sorted(FUSED))
def test_a_linearisation_that_is_filled_anew_is_that_of_the_new_map(name):
    """At the addresses of the first, where a recorded graph finds it."""
    first, second = perturb(MAPS[name](), 0.3), perturb(MAPS[name](), 0.3)
    second.set_theta(first.get_theta().neg())
    z, v = torch.randn(N, first.dimension), torch.randn(first.parameter_count())
    J = first.linearize(z)
    linearizer = J.linearizer
    expected, filled = linearizer.packed(), linearizer.packed()
    second.linearize(z).gram(linearizer.direction(v), expected)
    with kernels_used():
        J.gram(linearizer.direction(v), filled)
        linearizer.refill(second)
        J.refill(z)
        filled.zero_()
        J.gram(linearizer.direction(v), filled)
    assert float((filled - expected).abs().max()) <= 1e-14 * float(expected.abs().max())


def test_all_ranks_use_kernels_or_none_does():
    card = Resource("n1", "cuda", kernels=True)
    try:
        for others, used in ((card, True), (replace(card, card="2", kernels=False), False)):
            settle([replace(card, card="1"), others])
            with patch.object(availability, "_works", lambda device: True):
                assert availability.usable(torch.device("cuda")) == used
        settle([Resource("n1", "cpu"), Resource("n1", "cpu")])
    finally:
        availability.agree(True)


def test_sums_are_cut_into_parts_where_there_is_no_triton(monkeypatch):
    monkeypatch.setattr(chunk_module, "_suits_a_library", lambda a, b: False)
    a, b = torch.randn(5, 2500), torch.randn(7, 2500)
    out = torch.empty(7, 5).T  # as matrices of a packed vector are stored
    chunk_module.sum_over_samples(a, b, out)
    assert torch.allclose(out, a @ b.T, rtol=1e-13, atol=1e-12)
