"""Mixtures of Gaussians fitted to samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.problems.fitted_mixture import FittedMixture

TRUE = wgf.Mixture(
    [wgf.Gaussian(2, [-2.0, 0.0], 0.25), wgf.Gaussian(2, [2.0, 1.0], [[1.0, 0.6], [0.6, 0.8]])],
    [1.0, 3.0],
)


@pytest.fixture(scope="module")
def samples():
    return TRUE.sample(np.random.default_rng(0), 8000)


def test_the_components_of_a_mixture_are_found(samples):
    """Means and covariances within some standard errors, and hardly any likelihood is lost."""
    fitted = FittedMixture(samples)
    new = TRUE.sample(np.random.default_rng(1), 8000)
    lost = (TRUE.log_density(new) - fitted.log_density(new)).mean()
    assert 0 < float(lost) < 0.01
    assert fitted.likelihood == pytest.approx(float(TRUE.log_density(new).mean()), abs=0.06)
    assert fitted.of_one < fitted.likelihood - 0.3
    assert FittedMixture(samples[:, :1]).dimension == 1


def test_two_components_are_two(samples):
    """One Gaussian is one: more are taken only if samples that are held out like them better."""
    apart = wgf.Mixture([wgf.Gaussian(2, -4.0), wgf.Gaussian(2, 4.0)])
    fitted = FittedMixture(apart.sample(np.random.default_rng(0), 4000))
    centres = sorted(part.mean.mean().item() for part in fitted.components)
    assert centres == pytest.approx([-4.0, 4.0], abs=0.1)
    one = FittedMixture(wgf.Gaussian(3).sample(np.random.default_rng(0), 4000))
    assert len(one.components) == 1


def test_the_virial_of_an_entropy_is_exact_for_a_fit_by_maximum_likelihood(samples):
    """E[s (x − m)ᵀ] = −I over the samples that were fitted, a property of every fixed point of
    EM but for the floor of the variances."""
    fitted = FittedMixture(samples)
    z = samples[torch.arange(len(samples)) % 5 != 4]
    virial = fitted.score(z).T @ (z - z.mean(0)) / len(z)
    assert torch.allclose(virial, -torch.eye(2, dtype=torch.float64), atol=5e-3)


def test_the_same_samples_give_the_same_bits(samples):
    first, second = FittedMixture(samples).numbers(), FittedMixture(samples.clone()).numbers()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_samples_on_a_plane():
    z = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).double()
    with pytest.raises(wgf.InputError, match="the samples lie on a plane"):
        FittedMixture(torch.cat([z, 0 * z], 1))
