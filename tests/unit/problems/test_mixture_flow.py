"""Flows of mixtures on the line: against the ordinary differential equation of their samples,
and against the Gaussian map where there is one component."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from hpc_wgf import (
    Box,
    DoubleWell,
    Entropy,
    Gaussian,
    InputError,
    Mixture,
    PotentialEnergy,
    Problem,
    Quadratic,
)
from hpc_wgf.problems import GaussianFlow, MixtureFlow, SeparableFlow, SumOfPotentials, mixture_law

MERGING = Mixture([Gaussian(1, -2.0, 0.05), Gaussian(1, 2.0, 0.5)], [0.3, 0.7])


POTENTIALS = [None, Quadratic(1, 1.0, 0.5), SumOfPotentials([(-0.5, Quadratic(1))])]


@pytest.mark.parametrize("potential", POTENTIALS, ids=["none", "confining", "repelling"])
def test_samples_follow_their_differential_equation(potential):
    """x' = −V' − β ∂ log ρ(t, x) through both modes, the gap between them and 40 deviations
    beyond."""
    beta, t = 0.6, 0.1
    flow = MixtureFlow(potential, beta, MERGING)
    z = torch.linspace(-11, 13, 97, dtype=torch.float64)[:, None]

    def velocity(time: float, x: np.ndarray) -> np.ndarray:
        point = torch.from_numpy(x)[:, None]
        force = beta * flow.law(time).score(point)
        if potential is not None:
            force += potential.gradient(point)
        return -force[:, 0].numpy()

    path = solve_ivp(velocity, (0, t), z[:, 0].numpy(), "DOP853", rtol=1e-11, atol=1e-11)
    assert np.abs(flow(t, z)[:, 0].numpy() - path.y[:, -1]).max() < 1e-9
    assert torch.equal(flow(0.0, z), z)


def test_one_component_moves_as_a_gaussian():
    gaussian = Gaussian(1, 3.0, 0.04)
    z = 3.0 + 0.2 * torch.linspace(-37, 37, 149, dtype=torch.float64)[:, None]
    x = MixtureFlow(None, 0.7, Mixture([gaussian, gaussian], [0.2, 0.8]))(2.0, z)
    assert float((x - GaussianFlow(None, 0.7, gaussian)(2.0, z)).abs().max()) < 1e-11


def test_without_diffusion_all_samples_move_by_one_map():
    z = torch.linspace(-20, 20, 41, dtype=torch.float64)[:, None]
    x = MixtureFlow(Quadratic(1, 1.0), 0.0, MERGING)(0.3, z)
    assert torch.allclose(x, 1 + np.exp(-0.3) * (z - 1), rtol=1e-14, atol=1e-14)
    assert torch.equal(MixtureFlow(None, 0.0, MERGING)(0.3, z), z)


def test_both_tails_are_alike():
    mirrored = Mixture([Gaussian(1, 2.0, 0.05), Gaussian(1, -2.0, 0.5)], [0.3, 0.7])
    z = torch.linspace(-20, 20, 801, dtype=torch.float64)[:, None]
    x = MixtureFlow(None, 1.0, MERGING)(0.5, z)
    assert float((x + MixtureFlow(None, 1.0, mirrored)(0.5, -z)).abs().max()) < 1e-10


def test_a_gap_without_mass_is_crossed_in_order():
    """Between the components ρ falls below the smallest number: T is any there, but rises."""
    far = Mixture([Gaussian(1, -60.0), Gaussian(1, 60.0)], [0.4, 0.6])
    z = torch.linspace(-70, 70, 2801, dtype=torch.float64)[:, None]
    x = MixtureFlow(None, 1.0, far)(1.5, z)
    assert bool((x.diff(dim=0) >= 0).all())
    near = z.abs()[:, 0] > 58  # where one component is all: it moves by itself
    alone = 60 * z.sign() + 2 * (z - 60 * z.sign())
    assert float((x - alone)[near].abs().max()) < 1e-9
    assert bool(MixtureFlow(None, 1.0, far)(1.5, torch.tensor([[torch.nan]])).isnan().all())


def test_problems_find_it():
    def exact(start, *more):
        return Problem([Entropy(0.5), Entropy(0.5), *more], start, until=1.0).exact

    found = exact(MERGING)
    assert isinstance(found, MixtureFlow)
    assert found.beta == 1.0
    assert isinstance(exact(MERGING, PotentialEnergy(Quadratic(1, 1.0, 0.5))), MixtureFlow)
    assert isinstance(exact(MERGING, PotentialEnergy(DoubleWell())), SeparableFlow)
    assert exact(Mixture([Gaussian(2, -1.0), Gaussian(2, 1.0)])) is None
    assert exact(Mixture([Gaussian(1), Box(1, 1.0, 2.0, 0.1)])) is None


class Steepened(Quadratic):
    """V of its own, with the Hessian of another where the first component is."""

    def __call__(self, x):
        return super().__call__(x) + (x - 1.0).clamp(min=0).square().sum(1)


def test_a_potential_must_be_what_it_says_at_every_component():
    with pytest.raises(InputError, match="override hessian too"):
        Problem([PotentialEnergy(Steepened(1)), Entropy()], MERGING, until=1.0)


@pytest.mark.parametrize("potential", [None, Quadratic(2, [1.0, 0.0], [[0.5, 0.1], [0.1, 2.0]])])
def test_the_law_in_the_plane_solves_the_equation_for_the_density(potential):
    """∂ₜρ = ∇·(ρ∇V) + βΔρ, divided by ρ: with s = ∇ log ρ, ΔV + s·∇V + β(∇·s + |s|²)."""
    start = Mixture([Gaussian(2, [-1.5, 0.0], 0.1), Gaussian(2, [1.5, 0.5], 0.3)], [0.4, 0.6])
    x = 1.5 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    beta, t, h = 0.7, 0.2, 1e-4

    def log_density(time: float, x: torch.Tensor) -> torch.Tensor:
        return mixture_law(potential, beta, start, time).log_density(x)

    rate = (log_density(t + h, x) - log_density(t - h, x)) / (2 * h)
    law = mixture_law(potential, beta, start, t)
    score = law.score(x)
    bend = torch.func.vmap(torch.func.hessian(lambda y: law.log_density(y[None])[0]))(x)
    expected = beta * (bend.diagonal(dim1=1, dim2=2).sum(1) + score.square().sum(1))
    if potential is not None:
        expected += torch.trace(potential.hessian()) + (score * potential.gradient(x)).sum(1)
    assert torch.allclose(rate, expected, rtol=1e-6, atol=1e-5)
    assert torch.allclose(log_density(0.0, x), start.log_density(x), rtol=1e-12)


def test_a_product_moves_coordinate_by_coordinate():
    """Two components along the first axis, two along the second, in a saddle."""
    start = Mixture(
        [Gaussian(2, [x, y], [s, r]) for x, s in ((-2.0, 0.05), (2.0, 0.5))
         for y, r in ((0.0, 0.3), (1.0, 0.1))], [0.12, 0.18, 0.28, 0.42],
    )  # fmt: skip
    saddle = SumOfPotentials([(1.0, Quadratic(2, 1.0, [0.5, 1.0])), (-2.0, Quadratic(2))])
    exact = Problem([PotentialEnergy(saddle), Entropy(0.6)], start, until=1.0).exact
    z = torch.linspace(-4, 4, 33, dtype=torch.float64)
    x = exact(0.2, torch.stack([z, z], 1))
    second = Mixture([Gaussian(1, 0.0, 0.3), Gaussian(1, 1.0, 0.1)], [0.4, 0.6])
    bend = SumOfPotentials([(1.0, Quadratic(1, 1.0)), (-2.0, Quadratic(1))])
    for j, (law, V) in enumerate([(MERGING, None), (second, bend)]):
        alone = MixtureFlow(V or SumOfPotentials([(2.0, Quadratic(1, 1.0)), (-2.0, Quadratic(1))]),
                            0.6, law)  # fmt: skip
        assert torch.allclose(x[:, j], alone(0.2, z[:, None])[:, 0], rtol=1e-12, atol=1e-12)
    tied = Mixture([Gaussian(2, -1.0), Gaussian(2, 1.0)])
    assert Problem([PotentialEnergy(saddle), Entropy(0.6)], tied, until=1.0).exact is None
