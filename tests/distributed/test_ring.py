"""Interactions over real processes: the same field on any number of ranks, in memory O(n/P)."""

from __future__ import annotations

import pytest
import torch
from processes import script

from hpc_wgf.interactions import keops

N, D = 3000, 3
ROUTES = {("even", "pairs"), ("even", "moments"), ("even", "batches"), ("log", "pairs"),
          ("log", "batches"), ("gaussian", "pairs"), ("gaussian", "batches")}  # fmt: skip
if keops.is_installed():
    ROUTES |= {("log", "keops")}


def on(ranks: int, folder, n: int = N, d: int = D, what: str = "all"):
    """What each rank found."""
    result = folder / f"on-{ranks}"
    done = script("ring_of_ranks.py", n, d, result, what, ranks=ranks)
    assert done.returncode == 0, done.stderr
    return [torch.load(f"{result}-{rank}.pt") for rank in range(ranks)]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The field on one rank, by kernel and route."""
    (found,) = on(1, tmp_path_factory.mktemp("one"))
    assert set(found["fields"]) == ROUTES
    return found["fields"]


def test_moments_and_tiles_agree(one):
    assert torch.allclose(one["even", "moments"], one["even", "pairs"], rtol=1e-10, atol=1e-10)


@pytest.mark.skipif(not keops.is_installed(), reason="PyKeOps is an extra")
def test_keops_and_tiles_agree(one):
    assert torch.allclose(one["log", "keops"], one["log", "pairs"], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("ranks", [3, 4])
def test_the_ring_is_the_tiles_of_one_rank(one, tmp_path, ranks):
    """By KeOps too: to 1e-10 on any number of ranks, to the bit on a power of two."""
    found = on(ranks, tmp_path)
    for key in ROUTES - {(name, "batches") for name, _ in ROUTES if ranks == 3}:
        field = torch.cat([part["fields"][key] for part in found])
        assert torch.allclose(field, one[key], rtol=1e-10, atol=1e-10), key
        if ranks != 3:
            assert torch.equal(field, one[key]), key


def test_the_memory_of_the_ring_falls_with_the_ranks(tmp_path):
    """A tile, which is the same for all, and a part proportional to n/P; the tree of sums keeps one
    partial sum more for every doubling of the ranks."""
    n, peak = 16_000, {}
    for ranks in (1, 2, 4):
        peak[ranks] = max(part["peak"] for part in on(ranks, tmp_path, n, 3, "memory"))
    from_one_to_two, from_two_to_four = peak[1] - peak[2], peak[2] - peak[4]
    assert from_one_to_two >= 3 * (n / 2 * 3 * 8)  # travelling ones, arriving ones, forces
    assert from_two_to_four == pytest.approx(from_one_to_two / 2, rel=0.3)
