"""Cosines and walls: values, convexity, coordinates, and how walls reflect."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr

import hpc_wgf as wgf
from hpc_wgf.problems import Cosine, Walls

POTENTIALS = [
    Cosine(2, [0.5, -1.0], wavelength=[1.0, 2.5], centre=0.3, stiffness=[0.0, 2.0]),
    Walls(2, [-0.5, -1.0], [1.0, 1.5], [3.0, 0.0]),
]


@pytest.mark.parametrize("potential", POTENTIALS, ids=["cosine", "walls"])
def test_a_potential_is_the_sum_of_its_coordinates(potential):
    x = 2 * torch.randn(500, 2, dtype=torch.float64)
    a, b = x.unbind(1)
    if isinstance(potential, Cosine):
        formula = 0.5 * torch.cos(2 * math.pi * (a - 0.3)) + (b - 0.3) ** 2
        formula -= torch.cos(2 * math.pi / 2.5 * (b - 0.3))
    else:
        formula = 1.5 * (a - a.clamp(-0.5, 1.0)) ** 2
    assert torch.allclose(potential(x), formula)
    assert torch.allclose(potential.coordinate(0)(a) + potential.coordinate(1)(b), formula)
    bends = [
        potential.coordinate(j)(torch.linspace(-2, 2, 4001, dtype=torch.float64)).diff(n=2) * 1e6
        for j in (0, 1)
    ]
    least = min(float(bend.min()) for bend in bends)
    assert potential.convexity() == pytest.approx(least, rel=1e-3, abs=1e-6)


def reflected(z: np.ndarray, mean: float, before: float, after: float) -> np.ndarray:
    """The map of quantiles between normal densities reflected at 0 and 1, by their images."""

    def mass(x: np.ndarray, deviation: float) -> np.ndarray:
        k = 2.0 * np.arange(-8, 9)[:, None] - mean
        return (ndtr((k + x) / deviation) - ndtr((k - x) / deviation)).sum(0)

    grid = np.linspace(0, 1, 20_001)
    return np.interp(mass(z, before), mass(grid, after), grid)


def test_walls_reflect_to_half_the_depth_that_diffusion_enters():
    """Of V = 0 on [0, 1] the exact map is known; that of soft walls is off by less than half of
    (β/k)^½, and in proportion to it."""
    beta, mean, deviation, t = 0.25, 0.3, 0.08, 0.1
    z = mean + deviation * torch.special.ndtri((torch.arange(500, dtype=torch.float64) + 0.5) / 500)
    exact = reflected(z.numpy(), mean, deviation, (deviation**2 + 2 * beta * t) ** 0.5)
    off = []
    for depth in (0.04, 0.02):
        walls = wgf.PotentialEnergy(Walls(1, 0.0, 1.0, beta / depth**2))
        problem = wgf.Problem([walls, wgf.Entropy(beta)], wgf.Gaussian(1, mean, deviation**2), t)
        x = problem.exact(t, z[:, None])[:, 0].numpy()
        off.append(float(np.sqrt(((x - exact) ** 2).mean())))
        assert off[-1] < 0.5 * depth
    assert off[0] / off[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Walls(1, 1.0, 0.0, 1.0), "low < high"),
        (lambda: Walls(2, 0.0, 1.0, 0.0), "stiffness of walls must be positive"),
        (lambda: Walls(2, 0.0, 1.0, -1.0), "stiffness of walls must be positive"),
        (lambda: Cosine(2, wavelength=0.0), "wavelength of a cosine must be positive"),
        (lambda: Cosine(2, [1.0, 2.0, 3.0]), "amplitude of the cosine potential has shape"),
    ],
)
def test_other_walls_and_waves_are_refused(make, message):
    with pytest.raises(wgf.InputError, match=message):
        make()
