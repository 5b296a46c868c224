"""Blocks that stay with one rank each: the same bits as those of one rank that has all of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from oracles import perturb

from hpc_wgf.choices import Preconditioning
from hpc_wgf.maps import Affine, BlockFlow, Composition
from hpc_wgf.metric import Subsample, build, shared_blocks
from hpc_wgf.metric.diagonal_blocks import DiagonalBlocks
from hpc_wgf.metric.shared_blocks import SharedBlocks
from hpc_wgf.parallel import LocalCommunicator, tree_sum

D, SHIFT, CHUNKS = 3, 1e-6, 8


class Threads:
    """Ranks that are threads of this process, whose sums go up the tree of ranks."""

    def __init__(self, ranks: int) -> None:
        self.size = ranks
        self.barrier = threading.Barrier(ranks, timeout=20)
        self.told: dict[int, torch.Tensor] = {}
        self.sent = [0] * ranks

    def rank(self, number: int) -> LocalCommunicator:
        mine, ranks = LocalCommunicator(), self
        mine.rank, mine.size = number, self.size

        def summed(tensor: torch.Tensor) -> torch.Tensor:
            ranks.sent[number] += tensor.numel()
            ranks.told[number] = tensor.clone()
            ranks.barrier.wait()
            total = tree_sum([ranks.told[k] for k in range(ranks.size)])
            ranks.barrier.wait()
            return tensor.copy_(total)

        mine.sum = summed
        return mine


def subsample(map, communicator, weights=None):
    chunks = torch.randn(400, D, generator=torch.Generator().manual_seed(1)).tensor_split(CHUNKS)
    sizes = [[len(z) for z in part] for part in _dealt(chunks, communicator.size)]
    own = slice(*(communicator.rank * CHUNKS // communicator.size + k for k in
                  (0, CHUNKS // communicator.size)))  # fmt: skip
    mine = None if weights is None else weights.tensor_split(CHUNKS)[own]
    copies = [z.clone() for z in chunks[own]]
    return Subsample.of(map, copies, sizes, 400, communicator, mine)


def _dealt(chunks, ranks):
    each = len(chunks) // ranks
    return [chunks[k * each : (k + 1) * each] for k in range(ranks)]


def on(ranks: int, weights, v):
    """M⁻¹v, L⁻¹v, L⁻ᵀv and ‖Ĝ‖ as every rank finds them, and the numbers that each has told."""
    together = Threads(ranks)
    torch.manual_seed(3)
    map = perturb(Composition(Affine(D), BlockFlow(D, 9)), 0.3)

    def work(rank: int):
        sample = subsample(map, together.rank(rank), weights)
        model = build(sample, Preconditioning.OUTPUTS, SHIFT).model
        M = model.shifted(SHIFT * model.norm, torch.float64)
        return model, [M(v), M.solve_lower(v), M.solve_upper(v), torch.tensor(model.norm)]

    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(work, range(ranks))), together.sent


@pytest.fixture
def v():
    map = Composition(Affine(D), BlockFlow(D, 9))
    return torch.randn(map.parameter_count(), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("weighted", [False, True])
def test_ranks_that_share_blocks_have_the_bits_of_one(monkeypatch, v, weighted):
    """On four ranks of three blocks one has none."""
    monkeypatch.setattr(shared_blocks, "_LARGE", 1)
    weights = torch.rand(400, generator=torch.Generator().manual_seed(4)) if weighted else None
    ((model, alone),), _ = on(1, weights, v)
    assert isinstance(model, SharedBlocks)
    assert len(model.matrices) == D
    for ranks in (2, 4):
        found, sent = on(ranks, weights, v)
        assert sum(len(each.matrices) for each, _ in found) == D
        for _, vectors in found:
            for ours, expected in zip(vectors, alone, strict=True):
                assert torch.equal(ours, expected)
        q = sum(len(index) for index in model.indices)
        blocks = sum(len(index) ** 2 for index in model.indices)
        if not weighted:  # no rank tells blocks: only samples, energies and three products
            assert max(sent) < blocks
            assert max(sent) <= 400 * D + 3 * q + D + _energies()


def _energies() -> int:
    """Numbers of `mean_energies`, (d, h) for both layers of units and outputs."""
    return D * (9 + D + D)


def test_it_is_the_preconditioner_of_diagonal_blocks(monkeypatch, v):
    ((model, kept),), _ = on(1, None, v)
    assert isinstance(model, DiagonalBlocks)  # small ones are told to all
    monkeypatch.setattr(shared_blocks, "_LARGE", 1)
    ((_, shared),), _ = on(1, None, v)
    for ours, expected in zip(shared, kept, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
