"""Velocity networks and the paths along them, against automatic differentiation."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.func import jacrev, vmap

from hpc_wgf.maps.velocity_networks import BlockVelocity, integrate

N, D, TIME = 7, 3, 0.37

NETWORKS = {
    "block": lambda: BlockVelocity(D, 5),
    "block-alone": lambda: BlockVelocity(D, 5, linear=False),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    net = NETWORKS[request.param]()
    generator = torch.Generator().manual_seed(3)
    for value in net.parameters():
        value.data += 0.3 * torch.randn(value.shape, generator=generator)
    return net


def test_divergence_and_score_against_autograd(network):
    def at(x):
        return network(TIME, x[None])[0]

    x, s = torch.randn(N, D), torch.randn(N, D)
    gradient = vmap(jacrev(at))(x)
    bent = vmap(jacrev(lambda x: jacrev(at)(x).diagonal().sum()))(x)
    v, divergence, change = network.with_score(TIME, x, s)
    torch.testing.assert_close(v, network(TIME, x))
    torch.testing.assert_close(divergence, gradient.diagonal(dim1=1, dim2=2).sum(1))
    torch.testing.assert_close(change, -torch.einsum("nij,ni->nj", gradient, s) - bent)
    for one, other in zip(network.with_divergence(TIME, x), (v, divergence), strict=True):
        torch.testing.assert_close(one, other)


def test_at_the_start_nothing_moves():
    for make in NETWORKS.values():
        net, x, s = make(), torch.randn(N, D), torch.randn(N, D)
        assert not any(part.any() for part in net.with_score(TIME, x, s))


def test_parameters_lie_row_by_row_in_memory(network):
    assert all(value.is_contiguous() for value in network.parameters())


def test_paths_are_of_fourth_order():
    """y' = (1 + 2τ) y, so that y(1) = e² y(0)."""
    y = torch.randn(N, D)
    exact = math.e**2 * y
    errors = [
        float((integrate(lambda t, y: (1 + 2 * t) * y, y, steps) - exact).abs().max())
        for steps in (8, 16, 32)
    ]
    for coarse, fine in pairwise(errors):
        assert 3.7 < math.log2(coarse / fine) < 4.3
