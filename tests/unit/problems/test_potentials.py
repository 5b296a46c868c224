"""Potentials: formulas by hand, gradients by finite differences, user functions."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import forces_of_all

from hpc_wgf import (
    DoubleWell,
    Entropy,
    Gaussian,
    GaussianMixture,
    InputError,
    PotentialEnergy,
    Problem,
    Quadratic,
    Rosenbrock,
    StyblinskiTang,
    UserPotential,
)
from hpc_wgf.cloud import Cloud
from hpc_wgf.problems import SumOfEnergies, SumOfPotentials
from hpc_wgf.problems.potentials import Potential

POTENTIALS = {
    "quadratic": Quadratic(3, [1.0, 0.0, 2.0], [1.0, 0.5, 2.0]),
    "styblinski-tang": StyblinskiTang(),
    "double-well": DoubleWell(3.0, -0.7, 2.0),
    "rosenbrock": Rosenbrock(),
    "mixture": GaussianMixture([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]], 0.5, [1.0, 2.0]),
    "sum": SumOfPotentials([(2.0, StyblinskiTang()), (0.5, Quadratic(3))]),
    "user": UserPotential(lambda x: (x**4).sum(1)),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "V",
    [
        Quadratic(3, 1.5, 0.25),
        Quadratic(3, [1.0, 0.0, 2.0], [1.0, 0.5, 2.0]),
        Quadratic(3, 0.3, [[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 0.7]]),
        StyblinskiTang(),
    ],
)
def test_a_gradient_in_closed_form_has_the_bits_of_automatic_differentiation(V, dtype):
    """Runs keep the bits that they had before these were written out."""
    x = 3 * torch.randn(500, 3).to(dtype)
    assert torch.equal(V.gradient(x), Potential.gradient(V, x))


class Wall(Quadratic):
    """A parabola and, away from the origin, a wall: V is its own, the gradient not written out."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x) + 20 * (x[:, 0] - 1).relu().square()


class SteeperWall(Wall):
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().__call__(x)


@pytest.mark.parametrize("V", [Wall(3), SteeperWall(3)])
def test_a_potential_that_extends_another_has_the_gradient_of_its_own_values(V):
    x = torch.randn(50, 3) + 1
    assert torch.equal(V.gradient(x), Potential.gradient(V, x))
    assert not torch.allclose(V.gradient(x), Quadratic(3).gradient(x))


@pytest.mark.parametrize("name", POTENTIALS)
def test_gradient_by_central_differences(name):
    V, x, h = POTENTIALS[name], torch.randn(20, 3), 1e-5
    for j, e in enumerate(torch.eye(3)):
        difference = (V(x + h * e) - V(x - h * e)) / (2 * h)
        assert torch.allclose(V.gradient(x)[:, j], difference, atol=1e-7)


def test_formulas():
    x = torch.tensor([[1.0, 2.0]])
    assert float(StyblinskiTang()(x)) == pytest.approx(3 / 50 * ((1 - 16 + 5) + (16 - 64 + 10)))
    wells = 4 * (2**2 - 1) ** 2 + 0.5 * 2 + 0.5 * (1**2 + 3**2)
    assert float(DoubleWell()(torch.tensor([[2.0, 1.0, 3.0]]))) == pytest.approx(wells)
    steep = 3 * (2**2 - 1) ** 2 - 0.7 * 2 + 0.5 * 2 * 1**2
    assert float(DoubleWell(3.0, -0.7, 2.0)(torch.tensor([[2.0, 1.0]]))) == pytest.approx(steep)
    assert float(Rosenbrock()(x)) == pytest.approx(3 / 50 * (10 * (2 - 1) ** 2 + 0))
    assert float(Quadratic(2, 1.0, [1.0, 0.25])(x)) == pytest.approx(0.5 * 4.0)
    mixture = GaussianMixture([[1.0, 2.0], [1.0, 3.0]], 0.5, [2.0, 1.0])
    assert float(mixture(x)) == pytest.approx(-math.log(2 + math.exp(-1.0)))


@pytest.mark.parametrize("name", ["quadratic", "styblinski-tang", "double-well", "sum"])
def test_separable_potentials_are_the_sum_of_their_coordinates(name):
    V, x = POTENTIALS[name], torch.randn(20, 3)
    parts = [V.coordinate(j)(x[:, j]) for j in range(3)]
    assert torch.allclose(sum(parts), V(x), atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 30.0, 100.0, 1e4])
def test_mixtures_in_single_precision_do_not_care_where_they_are(shift):
    """V and its gradient to 1e-4 of their largest values: 7e-4 at 30, 9e-3 at 100 before."""
    V = GaussianMixture([[shift - 0.2, shift], [shift + 0.2, shift]], 1e-3, [3.0, 1.0])
    x = (shift + 0.2 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(1))).float()
    for exact, single in ((V(x.double()), V(x)), (V.gradient(x.double()), V.gradient(x))):
        assert single.dtype == torch.float32
        assert float((exact - single).abs().max()) <= 1e-4 * float(exact.abs().max())
    assert torch.equal(V.nearest_mode(x), V.nearest_mode(x.double()))


def test_coupled_potentials_are_not_separable():
    assert Quadratic(2, 0.0, [[1.0, 0.5], [0.5, 1.0]]).coordinate(0) is None
    assert Rosenbrock().coordinate(0) is None
    assert (Rosenbrock() + StyblinskiTang()).coordinate(0) is None


@pytest.mark.parametrize(
    ("potential", "beta"),
    [
        (Quadratic(2, [1.0, 0.0], [[1.0, 0.3], [0.3, 0.5]]), 0.7),
        (GaussianMixture([[0.0, 1.0], [1.0, 0.0]], 0.4, [1.0, 3.0]), 1.0),
    ],
)
def test_log_partition_by_quadrature(potential, beta):
    axis = torch.linspace(-9, 9, 901)
    grid = torch.cartesian_prod(axis, axis)
    mass = torch.exp(-potential(grid) / beta).sum() * (18 / 900) ** 2
    assert potential.log_partition(beta) == pytest.approx(math.log(float(mass)), abs=1e-9)


def test_energies_add_up_and_see_their_parts():
    V = StyblinskiTang()
    energy = SumOfEnergies([PotentialEnergy(V), Entropy(0.5)])
    cloud = Cloud(torch.randn(9, 2), torch.randn(9), torch.randn(9, 2))
    forces = forces_of_all(energy, cloud)
    assert torch.allclose(forces.total, V.gradient(cloud.x) + 0.5 * cloud.score)
    value = forces.value
    assert torch.allclose(value, V(cloud.x) + 0.5 * cloud.log_density)
    assert energy.potential() is V
    assert energy.beta() == 0.5


def test_negative_beta_is_refused():
    with pytest.raises(InputError, match="must not be negative"):
        Entropy(-0.1)


def test_dimensions_are_compared_before_anything_is_evaluated():
    with pytest.raises(InputError, match="potential has dimension 2 but the start"):
        Problem(PotentialEnergy(Quadratic(2) + StyblinskiTang()), Gaussian(3), until=1.0)
    with pytest.raises(InputError, match="differ in dimension"):
        Quadratic(2) + Quadratic(3)
    with pytest.raises(InputError, match="dimension at least 2"):
        Problem(PotentialEnergy(Rosenbrock()), Gaussian(1), until=1.0).check(torch.randn(3, 1))


def wrong_shape(x):
    return x


def not_finite(x):
    return torch.where(x[:, 0] > 0, torch.nan, x[:, 0])


def no_tensor(x):
    return 1.0


def broken(x):
    return x @ torch.zeros(99)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (wrong_shape, r"returned shape \(16, 2\).*shape \(16,\)"),
        (no_tensor, "returned a float"),
        (not_finite, "not finite at"),
        (broken, "cannot be evaluated at start samples"),
    ],
)
def test_user_potentials_are_tried_at_the_start(function, message):
    problem = Problem(PotentialEnergy(UserPotential(function)), Gaussian(2), until=1.0)
    with pytest.raises(InputError, match=message):
        problem.check(torch.randn(16, 2))
