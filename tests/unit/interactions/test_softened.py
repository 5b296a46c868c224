"""Softened kernels, whose weight is largest where the force is 0."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.interactions import Power, Softened
from hpc_wgf.interactions.tiles import pair_sums


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("exponent", [-1, 0])
def test_particles_in_one_place_leave_no_rounding_of_their_weight(exponent, dimension):
    """Two coincide, and every one meets itself, far from the common centre."""
    kernel = Softened(Power(exponent), 1e-5)
    x = torch.randn(300, dimension, dtype=torch.float64)
    x[7] = x[50]
    apart = x[:, None] - x[None]
    expected = (kernel.weight(apart.square().sum(-1))[..., None] * apart).sum(1)
    found = pair_sums(kernel, x, x, same=False, potential=False)
    assert (found - expected).norm() <= 1e-12 * expected.norm()
