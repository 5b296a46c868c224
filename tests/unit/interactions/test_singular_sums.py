"""Singular kernels: products of matrices where pairs are far apart, else differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hpc_wgf.interactions import Power, tiles
from hpc_wgf.interactions.tiles import pair_sums


def dense(kernel: Power, x: Tensor, y: Tensor) -> Tensor:
    """Pair by pair, with |x − y| from differences."""
    apart = x[:, None] - y[None]
    square = apart.square().sum(-1)
    force = (kernel.weight(square)[..., None] * apart).sum(1)
    return torch.cat([force, kernel.value(square).sum(1, keepdim=True)], 1)


@pytest.mark.parametrize("dimension", [2, 3, 8])
@pytest.mark.parametrize("exponent", [-1, 0])
def test_a_close_pair_among_others_keeps_its_digits(exponent, dimension, monkeypatch):
    """It dominates, and a product of matrices would leave few digits of it."""
    monkeypatch.setattr(tiles, "_TILE_CPU", 1 << 12)  # several tiles, most without the pair
    kernel = Power(exponent)
    x, y = 1 + torch.randn(2, 200, dimension, dtype=torch.float64)
    close = torch.cat([x[:1] + 1e-9, y[1:]])
    for others in (y, close):
        found = pair_sums(kernel, x, others, same=False, potential=True)
        expected = dense(kernel, x, others)
        assert ((found - expected).abs() <= 1e-12 * expected.abs().amax(1, keepdim=True)).all()


def test_most_tiles_of_scattered_particles_are_products(monkeypatch):
    taken = []
    summed = tiles._ByProducts.summed
    monkeypatch.setattr(
        tiles._ByProducts, "summed", lambda self, *of: taken.append(1) or summed(self, *of)
    )
    monkeypatch.setattr(tiles, "_TILE_CPU", 1 << 12)
    monkeypatch.setattr(tiles, "_COLUMNS_CPU", 64)
    x = torch.randn(400, 8, dtype=torch.float64)
    pair_sums(Power(0), x, x, same=True, potential=False)
    assert len(taken) > 20
