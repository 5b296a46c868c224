"""Functions of one direction: values and derivatives."""

from __future__ import annotations

import torch

from hpc_wgf.gradients import RidgeBasis
from hpc_wgf.maps import Frame


def test_the_derivatives_of_a_basis_are_those_of_its_functions():
    torch.manual_seed(0)
    x = 1.5 + 2.0 * torch.randn(50, 3, dtype=torch.float64)
    basis = RidgeBasis.of(Frame.of_samples(x), 40)
    assert basis.count == 40
    first, second = basis.derivatives(x)
    h = 1e-6
    for k in range(basis.count):
        w = basis.directions[k]
        ahead, behind = (basis.derivatives(x + s * h * w / w.square().sum())[0] for s in (1, -1))
        assert torch.allclose((ahead - behind)[:, k] / (2 * h), second[:, k], atol=1e-7)
        ahead, behind = (basis.values(x + s * h * w / w.square().sum()) for s in (1, -1))
        assert torch.allclose((ahead - behind)[:, k] / (2 * h), first[:, k], atol=1e-7)
    square = slice(3, 3 + basis.squares)
    assert torch.equal(first[:, :3], torch.ones(50, 3, dtype=torch.float64))
    assert torch.allclose(second[:, square], torch.ones(50, basis.squares, dtype=torch.float64))
