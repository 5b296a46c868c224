"""What of a user's objects is refused before any work."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import hpc_wgf as wgf
from hpc_wgf.checks import check_mass, check_virial
from hpc_wgf.config import catalogue, load
from hpc_wgf.problems import Density

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

    def __init__(self, mistake: str, dimension: int = 2) -> None:
        super().__init__(dimension)
        self.mistake = mistake

    def sample(self, random, count):
        return super().sample(random, count - (self.mistake == "too few"))

    def log_density(self, z):
        value = super().log_density(z)
        if self.mistake == "no constant":
            return value + 0.5 * self.dimension * math.log(2 * math.pi)
        return value[:, None] if self.mistake == "a column" else value


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("too few", r"gave samples of shape \(15, 2\) where 16 were asked for"),
        ("a column", r"log density of the start density .* returned shape \(\d+, 1\)"),
    ],
)
def test_a_density_of_other_shapes_is_refused(mistake, message):
    with pytest.raises(wgf.InputError, match=message):
        solved(start=Standard(mistake))


def of_start(start: Density, energy=FOKKER_PLANCK) -> wgf.Problem:
    return wgf.Problem(energy, start, until=1.0)


@pytest.mark.parametrize("dimension", [1, 2, 30])
def test_a_density_without_its_constant_is_refused(dimension):
    """Its flow of ∫ρᵐ ran to the end, faster by the (m−1)th power of the constant."""
    constant = math.exp(0.5 * dimension * math.log(2 * math.pi))
    start = Standard("no constant", dimension)
    with pytest.raises(wgf.InputError, match=r"has mass [0-9.e+]+, not 1") as refused:
        check_mass(of_start(start, [wgf.InternalEnergy(2.0)]))
    said = float(str(refused.value).split("has mass ")[1].split(",")[0])
    assert said == pytest.approx(constant, rel=0.05)


def test_where_the_density_does_not_matter_its_constant_does_not_either():
    potential_only = [wgf.PotentialEnergy(wgf.StyblinskiTang())]
    assert solved(potential_only, start=Standard("no constant")).finished
    with pytest.raises(wgf.InputError, match="log_density lacks its constant"):
        solved(start=Standard("no constant"))


@pytest.mark.parametrize("name", catalogue.names())
def test_the_named_start_densities_have_mass_one(name):
    check_mass(load(name).problem.build())


class OnItsSupport(wgf.Paraboloid):
    """Raises where it is asked for elsewhere."""

    def log_density(self, z):
        if bool((z.norm(dim=1) > self.radius + 1e-9).any()):
            raise ValueError("outside of the support")
        return super().log_density(z)


def test_a_density_that_is_defined_on_its_support_only_is_left_untested():
    check_mass(of_start(OnItsSupport(2)))


class Disc(wgf.Paraboloid):
    """Takes the logarithm of a negative number outside, which is not a number."""

    factor = 1.0

    def log_density(self, z):
        value = torch.log(1 - (z * z).sum(1)) + math.log(2 / math.pi)
        return value + math.log(self.factor)


def test_not_a_number_outside_of_the_support_is_no_mass():
    start = Disc(2)
    check_mass(of_start(start))
    start.factor = 1.2
    with pytest.raises(wgf.InputError, match=r"has mass 1\.[12]\d*, not 1"):
        check_mass(of_start(start))


def test_narrow_modes_far_apart_are_left_untested():
    """The Gaussian of their mean and covariance meets neither."""
    modes = [wgf.Gaussian(20, mean, 1e-4) for mean in (-5.0, 5.0)]
    check_mass(of_start(wgf.Mixture(modes)))


@pytest.mark.parametrize("dimension", [45, 46, 51])
def test_its_absence_is_found_in_any_dimension(dimension):
    """A covariance is symmetric up to rounding only, which once ended the test of the mass."""
    with pytest.raises(wgf.InputError, match="not 1"):
        check_mass(of_start(Standard("no constant", dimension), [wgf.InternalEnergy(2.0)]))


class Cut(Standard):
    """Without a density where a few of its samples lie."""

    def log_density(self, z):
        value = super().log_density(z)
        return torch.where(z.norm(dim=1) > 3.5, -math.inf, value)


def test_samples_outside_of_their_density_are_refused():
    with pytest.raises(wgf.InputError, match="samples have to come from its density"):
        check_mass(of_start(Cut("none")))


class Odd(Standard):
    def sample(self, random, count):
        z = super().sample(random, count)
        return z.numpy() if self.mistake == "numpy" else z

    def log_density(self, z):
        value = super().log_density(z)
        return value.numpy() if self.mistake == "numpy log density" else value

    def score(self, z):
        return None if self.mistake == "no score" else super().score(z)


class Column(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 1)

    def forward(self, z):
        return self.one(z)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: solved(start=Odd("numpy")), "gave samples as ndarray: expected a torch tensor"),
        (lambda: solved(start=Odd("numpy log density")), "log density .* returned a numpy.ndarray"),
        (lambda: solved(start=Odd("no score")), "score of .* returned None"),
        (lambda: of_start(object()), "it has no dimension: a density has"),
        (lambda: solved([wgf.PotentialEnergy(lambda x: x)]), "is no potential, .* wrap a function"),
        (lambda: of_start(wgf.Gaussian(2), [wgf.StyblinskiTang()]), "is no part of an energy"),
        (
            lambda: solved(map=wgf.ModuleMap(2, Column().double(), anchored=True)),
            r"the module returned shape \(\d+, 1\) for samples of shape \(\d+, 2\)",
        ),
        (
            lambda: solved(map=wgf.ModuleMap(2, nn.Linear(3, 3).double(), anchored=True)),
            r"the module cannot be evaluated at samples of shape \(\d+, 2\): .*mat1 and mat2",
        ),
        (lambda: wgf.ModuleMap(2, nn.Tanh()), "the module has no parameters"),
        (lambda: wgf.ModuleMap(2, torch.tanh), "needs a torch.nn.Module, got builtin"),
        (
            lambda: wgf.ModuleMap(2, nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))),
            "the module's Dropout makes a sample's image depend on other",
        ),
        (
            lambda: wgf.ModuleMap(2, nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))),
            "the module's BatchNorm1d makes a sample's image depend on other",
        ),
        (lambda: wgf.Gaussian(0), "the dimension must be a whole number from 1 on, got 0"),
        (lambda: wgf.Entropy(math.inf), "got inf: give a finite number"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(made, message):
    with pytest.raises(wgf.InputError, match=message):
        made()


class Misjudged(wgf.Gaussian):
    """A Gaussian whose score is wrong by a tenth."""

    def score(self, z):
        return 1.1 * super().score(z)


def test_the_score_is_tested_in_many_dimensions_too():
    """Without d × d products: over groups of neighbouring axes."""
    check_virial(wgf.Problem(wgf.Entropy(), wgf.Gaussian(2500, 1.0, 0.3), until=1.0), samples=500)
    wrong = wgf.Problem(wgf.Entropy(), Misjudged(2500, 1.0, 0.3), until=1.0)
    with pytest.raises(wgf.InputError, match="stretches of axes 0 to 2 the work"):
        check_virial(wrong, samples=500)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_potential_that_couples_samples_is_refused_beside_a_large_constant(dtype):
    """√ε of 3e4 is 10 in single precision, and hid it."""
    coupled = wgf.UserPotential(lambda x: (5 * (x - x.mean(0)) ** 2).sum(1) + 3e4, "coupled")
    with pytest.raises(wgf.InputError, match=r"UserPotential\(coupled\) gives a sample another"):
        solved([wgf.PotentialEnergy(coupled), wgf.Entropy(1.0)], dtype=dtype)
