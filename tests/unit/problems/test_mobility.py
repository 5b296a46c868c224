"""Mobilities, drifts and potentials that move: their values, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import (
    CovarianceMobility,
    FermiEntropy,
    LinearDrift,
    MatrixMobility,
    MobilityFunction,
    MovingPotentialEnergy,
    MovingTrap,
    Saturating,
    UserDrift,
    UserMobility,
    UserMovingPotential,
)


def solved(**more):
    """A short run from N(0, I/2) in the plane."""
    energy = more.pop("energy", [wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.Entropy(0.5)])
    problem = wgf.Problem(energy, wgf.Gaussian(2, 0.0, 0.5), until=0.01, **more)
    return wgf.solve(problem, wgf.Affine(2), wgf.PWGFOptions(samples=200, step_size=0.01))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (lambda: {"mobility": MatrixMobility(2, [[1.0, 2.0], [2.0, 1.0]])},
         "not positive definite"),
        (lambda: {"mobility": MatrixMobility(3, 1.0)}, "dimension 3 but the start density has"),
        (lambda: {"mobility": Saturating(0.2)}, r"limit 0.2 .* below the density of the start"),
        (lambda: {"mobility": Saturating(-1.0)}, "give a density above 0"),
        (lambda: {"mobility": MobilityFunction(lambda r: r - 0.2, "m")}, "m is negative .* M = -"),
        (lambda: {"mobility": MobilityFunction(lambda r: r.sum(), "m")}, "one value for each"),
        (lambda: {"mobility": UserMobility(lambda x: -x.square(), "p")}, "not symmetric positive"),
        (lambda: {"mobility": UserMobility(lambda x: x[:, 0], "p")}, "a matrix for every sample"),
        (lambda: {"mobility": 3.0}, "is no mobility"),
        (lambda: {"drift": lambda x: x[:, :1]}, "a velocity of 2 components for every sample"),
        (lambda: {"drift": lambda x, t, s: x}, "give a function of x, or of x and t"),
        (lambda: {"drift": lambda x: x / 0}, "not finite at"),
        (lambda: {"drift": lambda x: x.sub_(1)}, "changes the samples"),
        (lambda: {"drift": LinearDrift(2, [[1.0, 2.0, 3.0]])}, r"shape \(1, 3\)"),
        (lambda: {"energy": wgf.PotentialEnergy(wgf.UserPotential(lambda x, t: x[:, 0] * t))},
         "takes x and t"),
        (lambda: {"energy": MovingPotentialEnergy(UserMovingPotential(lambda x: x[:, 0]))},
         "takes x alone"),
        (lambda: {"energy": MovingPotentialEnergy(MovingTrap(50))}, "potential has dimension 100"),
        (lambda: {"energy": MovingPotentialEnergy(lambda x, t: x[:, 0])}, "no potential that mov"),
        (lambda: {"drift": LinearDrift(3, 1.0)}, "the drift has dimension 3"),
        (lambda: {"mobility": Saturating(1.0), "inner_product": "foo"}, "one of natural, plain"),
        (lambda: {"mobility": MobilityFunction(3, "a")}, "the mobility a: expected a function"),
        (lambda: {"mobility": UserMobility(3, "a")}, "the mobility a: expected a function"),
        (lambda: {"energy": FermiEntropy(0.1, 0.2)}, "not finite at .* start samples"),
        (lambda: {"energy": FermiEntropy(0.1, -1.0)}, "limit of a fermi entropy must be positive"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_any_work(more, message):
    with pytest.raises(wgf.InputError, match=message):
        solved(**more())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('problem.mobility={kind="saturating"}', "limit"),
        ('problem.mobility={kind="matrix", matrix=[[1, 2], [2, 1]]}', "not positive definite"),
        ('problem.mobility={kind="cov"}', "unknown kind 'cov'"),
        ('problem.drift={kind="linear", matrix=[[1, 2, 3]]}', "linear drift has shape"),
        ("problem.drift={}", "function"),
    ],
)
def test_run_files_say_what_is_wrong(setting, message):
    with pytest.raises(wgf.InputError, match=message):
        wgf.load_problem("ou-2d", setting)


@pytest.mark.parametrize("hidden", [math.sin, np.sin, lambda t: torch.sin(t).item()])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_potential_that_hides_the_time_is_refused(hidden, dtype):
    def potential(x, t):
        return x[:, 0].square() * hidden(t)

    energy = MovingPotentialEnergy(UserMovingPotential(potential, "V"))
    problem = wgf.Problem(energy, wgf.Gaussian(2), until=1.0)
    with pytest.raises(wgf.InputError, match=r"∂ₜV of .*V.*Use torch functions of t"):
        problem.check(torch.randn(50, 2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "time",
    [
        lambda t: torch.sin(300 * t),
        lambda t: torch.relu(t).clamp(max=0.5),
        torch.ones_like,
        lambda t: 1e6 + t,
    ],
)
def test_a_potential_that_moves_by_torch_is_taken(time, dtype):
    """Fast, switched on at the start and kept, at rest, and beside a large constant."""
    potential = UserMovingPotential(lambda x, t: x[:, 0].square() * time(t))
    problem = wgf.Problem(MovingPotentialEnergy(potential), wgf.Gaussian(2), until=1.0)
    problem.check(torch.randn(50, 2, dtype=dtype))


def test_a_module_may_take_the_time():
    class Wind(torch.nn.Module):
        def forward(self, x, t):
            return x * t

    drift = UserDrift(Wind(), "wind")
    assert torch.equal(drift(torch.ones(3, 2), 0.5), torch.full((3, 2), 0.5))
    trap = torch.nn.Identity()
    with pytest.raises(wgf.InputError, match="takes x alone"):
        UserMovingPotential(trap, "trap")


def ensemble(x, log_density):
    cloud = Cloud(x, log_density, torch.zeros_like(x))
    return [cloud], Ensemble([cloud], [[len(x)]], LocalCommunicator())


def test_a_mobility_is_held_above_a_thousandth_of_its_largest_value():
    x, rho = torch.randn(3, 2), torch.tensor([0.1, 0.9999999, 0.5])
    clouds, samples = ensemble(x, rho.log())
    (P,) = Saturating(1.0).at(clouds, samples)
    assert torch.allclose(P.values, torch.tensor([0.9, 1e-3, 0.5]))
    double = MobilityFunction(lambda r: 2 * r * (1 - r), "double")
    (P,) = double.at(clouds, samples)
    assert torch.allclose(P.values, torch.tensor([1.8, 1.8e-3, 1.0]))


def test_a_density_that_underflows_has_the_mobility_of_the_smallest():
    for dtype, low in ((torch.float64, -800.0), (torch.float32, -95.0)):
        log_density = torch.tensor([low, math.log(0.5), -0.0], dtype=dtype)
        clouds, samples = ensemble(torch.zeros(3, 2, dtype=dtype), log_density)
        (P,) = MobilityFunction(lambda r: r.square(), "square").at(clouds, samples)
        assert torch.allclose(P.values, torch.tensor([1e-3, 0.5, 1.0], dtype=dtype))
        clouds, samples = ensemble(
            torch.zeros(3, 2, dtype=dtype), torch.full_like(log_density, low)
        )
        (P,) = MobilityFunction(lambda r: r * (1 - r), "m").at(clouds, samples)
        assert torch.allclose(P.values, torch.ones(3, dtype=dtype))


def test_the_covariance_is_that_of_all_samples():
    x = torch.randn(50, 3) + 5
    clouds, samples = ensemble(x, torch.zeros(50))
    (P,) = CovarianceMobility().at(clouds, samples)
    assert torch.allclose(P.values[0], x.T.cov(correction=0), atol=1e-12)


def test_the_force_of_fermions_is_the_gradient_of_their_energy():
    """f = ∂ψ/∂log ρ s with ψ = φ + ∂φ/∂log ρ, and the integrand of a density that underflows."""
    fermi, log_density = FermiEntropy(0.3, 2.0), torch.tensor([-1.0, 0.2, 0.6]).requires_grad_()
    x = torch.zeros(3, 1)
    (slope,) = torch.autograd.grad(
        fermi.integrand(x, log_density).sum(), log_density, create_graph=True
    )
    (second,) = torch.autograd.grad((fermi.integrand(x, log_density) + slope).sum(), log_density)
    score = torch.ones(3, 1)
    force = fermi.force(Cloud(x, log_density.detach(), score))
    assert torch.allclose(force[:, 0], second)
    rho = torch.tensor(1e-300)
    assert float(fermi.integrand(x[:1], rho.log()[None])) == pytest.approx(
        0.3 * (math.log(1e-300) - 1)
    )
    assert float(fermi.integrand(x[:1], torch.tensor([-800.0]))) == pytest.approx(0.3 * -801)


def test_a_potential_that_moves_has_its_rate_and_its_force():
    """∂ₜV and ∇V of the trap against differences, and its Hessian against autograd."""
    trap, h = MovingTrap(3, 0.4), 1e-6
    x = torch.randn(5, 6)
    energy = MovingPotentialEnergy(trap, time=0.3, factor=2.0)
    value = [energy.at(t).integrand(x, x[:, 0]) for t in (0.3 - h, 0.3 + h)]
    assert torch.allclose(energy.time_derivative(x), (value[1] - value[0]) / (2 * h), atol=1e-6)
    each, centre = (
        x.view(5, 3, 2),
        2 * torch.tensor([math.cos(0.3 * math.pi), math.sin(0.3 * math.pi)]),
    )
    force = each - centre - 0.4 * (each - each.mean(1, keepdim=True))
    cloud = Cloud(x, x[:, 0], x)
    assert torch.allclose(energy.force(cloud), 2 * force.flatten(1), atol=1e-12)
    found = torch.func.hessian(lambda v: energy.present(v[None])[0])(x[0])
    assert torch.allclose(trap.hessian(), found, atol=1e-12)


def test_what_the_flow_comes_to_rest_at():
    """Mobility leaves the stationary density e^{−V/β}/Z; a drift, or a potential that moves, does
    not, and then no KL to it is given."""
    assert solved(mobility=CovarianceMobility()).summary.kl_divergence is not None
    filled = solved(mobility=Saturating(1.0)).summary  # It keeps to densities below its limit.
    assert (filled.kl_divergence, filled.log_z) == (None, None)
    assert solved(drift=LinearDrift(2, [[0.0, 1.0], [-1.0, 0.0]])).summary.kl_divergence is None
    energy = [MovingPotentialEnergy(MovingTrap(1)), wgf.Entropy(0.5)]
    moving = solved(energy=energy).summary
    assert moving.kl_divergence is None
    assert moving.log_z is None
