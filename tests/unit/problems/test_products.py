"""Mixtures that are products of their marginals, along the axes given or along others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hpc_wgf import Box, Gaussian, GaussianMixture, Mixture
from hpc_wgf.problems.products import frame, independent_coordinates

GRID = [[x, y] for x in (-1.0, 0.5, 3.0) for y in (2.0, -2.0)]
WEIGHTS = [a * b for a in (1.0, 2.0, 0.5) for b in (1.0, 3.0)]


def mixture(weights=WEIGHTS, variances=lambda x, y: [0.1 + x * x, 0.3]):
    return Mixture([Gaussian(2, mean, variances(*mean)) for mean in GRID], weights)


def test_the_marginals_of_a_product_multiply_to_it():
    density = mixture()
    laws = independent_coordinates(density)
    assert [len(law.means) for law in laws] == [3, 2]
    z = density.sample(np.random.default_rng(0), 50)
    logs = sum(law._log_density(column) for law, column in zip(laws, z.T, strict=True))
    assert torch.allclose(logs, density.log_density(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "density",
    [
        mixture([1.0, 1.0, 1.0, 1.0, 1.0, 1.1]),
        mixture(variances=lambda x, y: [0.1, 0.3 + 0.01 * x]),
        mixture(variances=lambda x, y: [[0.3, 0.1], [0.1, 0.3]]),
        Mixture([Gaussian(2, mean) for mean in GRID[:5]]),
        Mixture([Gaussian(2), Box(2)]),
        Gaussian(2, 0.0, [[1.0, 0.1], [0.1, 1.0]]),
    ],
    ids=["weights", "widths", "covariances", "a corner left out", "a box", "correlated"],
)
def test_what_is_no_product_is_told_apart(density):
    assert independent_coordinates(density) is None


def test_equal_components_count_together():
    density = Mixture([Gaussian(2, mean) for mean in [*GRID, *GRID]])
    assert [len(law.means) for law in independent_coordinates(density)] == [3, 2]


def test_quantiles_invert_the_distribution_function():
    law = independent_coordinates(mixture())[0]
    x = torch.linspace(-4, 9, 53, dtype=torch.float64)
    scores = torch.special.ndtri(law.log_below(x).exp())
    near = scores.abs() < 5
    assert int(near.sum()) > 40
    assert float((law.normal_quantile(scores) - x)[near].abs().max()) < 1e-8


def test_a_potential_adds_up_from_its_coordinates():
    V = GaussianMixture(GRID, 0.4, WEIGHTS)
    x = 3 * torch.randn(40, 2, dtype=torch.float64)
    total = V.coordinate(0)(x[:, 0]) + V.coordinate(1)(x[:, 1])
    assert torch.allclose(total, V(x), rtol=1e-12, atol=1e-12)
    assert GaussianMixture(GRID[:5], 0.4).coordinate(0) is None


@pytest.mark.parametrize("points", [GRID, GRID[:2], GRID[:1], [[2.0, 2.5], [-2.5, 2.0],
                                    [-2.0, -2.5], [2.5, -2.0]]])  # fmt: skip
@pytest.mark.parametrize("d", [2, 5])
def test_a_turned_product_is_found(points, d):
    turn, _ = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))
    given = torch.zeros(len(points), d, dtype=torch.float64)
    given[:, :2] = torch.tensor(points)
    V = GaussianMixture(given @ turn, 0.4)
    basis = frame(V.means)
    assert torch.allclose(basis.T @ basis, torch.eye(d, dtype=torch.float64), atol=1e-13)
    turned = V.turned(basis)
    x = torch.randn(9, d, dtype=torch.float64)
    total = sum(turned.coordinate(j)(column) for j, column in enumerate((x @ basis).T))
    assert torch.allclose(total, V(x), rtol=1e-12)


def test_no_frame_makes_a_product_of_a_triangle():
    corners = [[math.cos(a), math.sin(a)] for a in (0.0, 2.1, 4.2)]
    V = GaussianMixture(corners, 0.4)
    assert V.turned(frame(V.means)).coordinate(0) is None
