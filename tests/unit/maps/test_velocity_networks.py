"""Velocity networks and the paths along them, against automatic differentiation."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.func import jacrev, vmap

from hpc_wgf.maps.potential_velocities import PotentialVelocity, ResidualPotential
from hpc_wgf.maps.velocity_networks import BlockVelocity, integrate

N, D, TIME = 7, 3, 0.37

NETWORKS = {
    "block": lambda: BlockVelocity(D, 5),
    "block-alone": lambda: BlockVelocity(D, 5, linear=False),
    "potential": lambda: PotentialVelocity(D, 5),
    "residual-1": lambda: ResidualPotential(D, 5, 1),
    "residual-3": lambda: ResidualPotential(D, 5, 3),
}


@pytest.fixture
def network_of():
    def moved(name):
        net = NETWORKS[name]()
        generator = torch.Generator().manual_seed(3)
        for value in net.parameters():
            value.data += 0.3 * torch.randn(value.shape, generator=generator)
        return net

    return moved


@pytest.fixture(params=NETWORKS)
def network(request, network_of):
    return network_of(request.param)


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


@pytest.mark.parametrize("name", ["potential", "residual-1", "residual-3"])
def test_gradients_do_not_turn(name, network_of):
    net, x = network_of(name), torch.randn(N, D)
    gradient = vmap(jacrev(lambda x: net(TIME, x[None])[0]))(x)
    torch.testing.assert_close(gradient, gradient.mT)


def test_the_recurrence_gives_the_gradient_of_the_residual_potential(network_of):
    net, x = network_of("residual-3"), torch.randn(N, D, requires_grad=True)
    (expected,) = torch.autograd.grad(net.potential(TIME, x).sum(), x)
    v, divergence = (each.detach() for each in net.with_divergence(TIME, x))
    assert float((v - expected).abs().max()) < 1e-14
    hessian = vmap(jacrev(jacrev(lambda x: net.potential(TIME, x[None])[0])))(x.detach())
    assert float((divergence - hessian.diagonal(dim1=1, dim2=2).sum(1)).abs().max()) < 1e-13


def test_in_other_coordinates_the_flow_is_the_same(network):
    x, centre, scale, factor = torch.randn(N, D), torch.tensor([3.0, -1.0, 0.5]), 1.7, 0.3
    expected = factor * scale * network(TIME, (x - centre) / scale)
    before = network(TIME, x)
    network.change_coordinates(centre, scale, factor)
    torch.testing.assert_close(network(TIME, x), expected)
    network.change_coordinates(-centre / scale, 1 / scale, 1 / factor)
    torch.testing.assert_close(network(TIME, x), before)


def test_v_is_linear_in_its_outputs(network):
    x = torch.randn(N, D)
    before = network(TIME, x)
    for each in network.outputs():
        each.data *= 2
    torch.testing.assert_close(network(TIME, x), 2 * before)
    for each in network.outputs():
        each.data *= 0
    assert not network(TIME, x).any()


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
