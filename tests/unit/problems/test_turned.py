"""Flows that are separable in turned coordinates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hpc_wgf import Entropy, Gaussian, GaussianMixture, Mixture, PotentialEnergy, Problem
from hpc_wgf.problems import SeparableFlow, TurnedFlow

SQUARE = torch.tensor([[1.5, 1.0], [1.5, -1.0], [-1.5, 1.0], [-1.5, -1.0]], dtype=torch.float64)
ANGLE = 0.6
TURN = torch.tensor([[math.cos(ANGLE), math.sin(ANGLE)], [-math.sin(ANGLE), math.cos(ANGLE)]],
                    dtype=torch.float64)  # fmt: skip


def exact(means, start):
    parts = [PotentialEnergy(GaussianMixture(means, 0.3)), Entropy(1.0)]
    return Problem(parts, start, until=1.0).exact


@pytest.mark.parametrize("mean", [0.0, [0.5, -1.0]])
def test_a_turned_problem_has_a_turned_map(mean):
    start = Gaussian(2, mean, 0.5)
    straight = exact(SQUARE, start)
    turned = exact(SQUARE @ TURN, Gaussian(2, start.mean @ TURN, 0.5))
    assert isinstance(straight, SeparableFlow)
    assert isinstance(turned, TurnedFlow)
    z = start.sample(np.random.default_rng(0), 50)
    assert torch.allclose(turned(0.2, z @ TURN), straight(0.2, z) @ TURN, atol=1e-8)


def test_a_mixture_start_is_turned_too():
    start = Mixture([Gaussian(2, [1.0, 0.0], 0.2), Gaussian(2, [-1.0, 0.0], 0.2)])
    turned = Mixture([Gaussian(2, part.mean @ TURN, 0.2) for part in start.components])
    z = start.sample(np.random.default_rng(0), 50)
    expected = exact(SQUARE, start)(0.2, z) @ TURN
    assert torch.allclose(exact(SQUARE @ TURN, turned)(0.2, z @ TURN), expected, atol=1e-8)


def test_two_means_anywhere_form_a_product():
    """Samples leave with the velocity −∇V − ∇log λ."""
    means, start, t = [[0.3, 0.2, 1.0], [1.0, -2.0, 0.5]], Gaussian(3, [0.1, -1.0, 0.0]), 1e-4
    flow = exact(means, start)
    assert isinstance(flow, TurnedFlow)
    z = start.sample(np.random.default_rng(0), 200)
    velocity = -GaussianMixture(means, 0.3).gradient(z) - start.score(z)
    moved = (flow(t, z) - z) / t
    assert float((moved - velocity).norm() / velocity.norm()) < 2e-3


@pytest.mark.parametrize(
    ("means", "start"),
    [
        ([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]], Gaussian(2)),
        (SQUARE @ TURN, Gaussian(2, 0.0, [1.0, 2.0])),
        (SQUARE @ TURN, Mixture([Gaussian(2, [1.0, 0.0]), Gaussian(2, [-1.0, 0.0])])),
    ],
    ids=["a triangle", "an ellipse", "a start in other coordinates"],
)
def test_others_have_none(means, start):
    assert exact(means, start) is None
