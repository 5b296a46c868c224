"""What of a user's objects is refused before any work."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hpc_wgf as wgf

FOKKER_PLANCK = [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)]


class Net(nn.Module):
    def __init__(self, activation: nn.Module, coupled: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 16), nn.Linear(16, 2)
        self.activation, self.coupled = activation, coupled

    def forward(self, z):
        hidden = self.activation(self.first(z))
        return self.last(hidden - hidden.mean(0) if self.coupled else hidden)


class Linear(nn.Module):
    """The identity at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(2))

    def forward(self, z):
        return z @ self.matrix.T


def solved(energy=FOKKER_PLANCK, map=None, start=None, **options) -> wgf.Summary:
    problem = wgf.Problem(energy, start or wgf.Gaussian(2), until=0.02)
    method = wgf.PWGFOptions(samples=200, step_size=0.01, rtol=1e-3, **options)
    return wgf.solve(problem, map or wgf.Affine(2), method, wgf.Output(every=0.02)).summary


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Net(nn.Tanh(), coupled=True), "the map gives a sample another value in the company"),
        (Net(nn.ReLU()), "the map is made of linear pieces"),
        (Net(nn.Hardtanh()), "the map is made of linear pieces"),
    ],
    ids=["coupled", "relu", "hardtanh"],
)
def test_modules_that_are_no_map_of_samples_are_refused(net, message):
    """They ran to the end, 7 % and 22 % of the displacement off."""
    with pytest.raises(wgf.InputError, match=message):
        solved(map=wgf.ModuleMap(2, net.double(), anchored=True))


@pytest.mark.parametrize("net", [Net(nn.Tanh()), Net(nn.Softplus()), Net(nn.SiLU())])
def test_smooth_modules_are_not(net):
    assert solved(map=wgf.ModuleMap(2, net.double(), anchored=True)).finished


def test_linear_pieces_do_no_harm_where_the_density_does_not_matter():
    map = wgf.ModuleMap(2, Net(nn.ReLU()).double(), anchored=True)
    assert solved([wgf.PotentialEnergy(wgf.StyblinskiTang())], map).finished


def test_a_linear_module_is_a_map():
    """Its volume does not depend on z, which differentiating it took for a mistake."""
    assert solved(map=wgf.ModuleMap(2, Linear().double())).finished


def test_a_potential_that_couples_samples_is_refused():
    coupled = wgf.UserPotential(lambda x: 0.5 * ((x - x.mean(0)) ** 2).sum(1), "coupled")
    with pytest.raises(wgf.InputError, match=r"UserPotential\(coupled\) gives a sample another"):
        solved([wgf.PotentialEnergy(coupled), wgf.Entropy(1.0)])


class Standard(wgf.Gaussian):
    """A density of the user's own, with a mistake."""

    def __init__(self, mistake: str) -> None:
        super().__init__(2)
        self.mistake = mistake

    def sample(self, random, count):
        return super().sample(random, count - (self.mistake == "too few"))

    def log_density(self, z):
        value = super().log_density(z)
        return value[:, None] if self.mistake == "a column" else value


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("too few", r"gave samples of shape \(15, 2\) where 16 were asked for"),
        ("a column", r"log density of the start density .* has shape \(\d+, 1\)"),
    ],
)
def test_a_density_of_other_shapes_is_refused(mistake, message):
    with pytest.raises(wgf.InputError, match=message):
        solved(start=Standard(mistake))
