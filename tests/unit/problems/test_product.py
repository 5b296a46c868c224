"""Products of densities: independent groups of coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.problems import Product, inverse_transform


@pytest.fixture
def product():
    return Product([wgf.Gaussian(1, 1.0, 0.5), wgf.Box(2, -1.0, 2.0, ramp=0.5)])


def test_density_score_and_moments_are_those_of_the_parts(product):
    z = product.sample(np.random.default_rng(0), 40_000)
    first, rest = product.parts
    expected = first.log_density(z[:, :1]) + rest.log_density(z[:, 1:])
    assert torch.equal(product.log_density(z), expected)
    assert torch.equal(product.score(z)[:, :1], first.score(z[:, :1]))
    assert torch.equal(product.score(z)[:, 1:], rest.score(z[:, 1:]))
    mean, covariance = product.moments()
    assert torch.allclose(z.mean(0), mean, atol=0.02)
    assert torch.allclose(z.T.cov(), covariance, atol=0.03)


def test_sobol_points_and_jumps(product):
    found = inverse_transform(product)
    assert found.uniforms == 3
    middle = found.samples(torch.full((1, 3), 0.5, dtype=torch.float64))
    assert torch.allclose(middle, torch.tensor([[1.0, 0.5, 0.5]]))
    assert product.jump() is None
    assert "jumps" in Product([wgf.Gaussian(1), wgf.Box(1)]).jump()


def test_run_files_give_one_for_each_coordinate():
    start = wgf.load_problem("kalman-elliptic").problem.start
    assert start.dimension == 2
    with pytest.raises(wgf.InputError, match="1 components of a product, but the dimension is 2"):
        wgf.load_problem("kalman-elliptic", 'problem.start.components=[{kind="box"}]')
