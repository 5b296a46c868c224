"""Sobol points: numbered, inside of the cube, and better than random ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpc_wgf import Gaussian, InputError, Sampling
from hpc_wgf.ensemble import Sampler
from hpc_wgf.ensemble.sobol import sobol_points
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks


def test_points_are_those_of_their_numbers():
    whole = sobol_points(slice(0, 300), 3, key=(1, 2))
    parts = [sobol_points(slice(k, k + 100), 3, key=(1, 2)) for k in (0, 100, 200)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(sobol_points(slice(0, 300), 3, key=(1, 3)), whole)


def test_points_fill_the_cube_evenly():
    """Every interval of length 1/256 of every axis holds one of 256 points, none an end."""
    u = sobol_points(slice(0, 256), 5, key=(0,))
    assert 0.0 < float(u.min()) < float(u.max()) < 1.0
    for axis in u.T:
        assert sorted((256 * axis).floor().int().tolist()) == list(range(256))


@pytest.mark.parametrize("seed", range(3))
def test_means_over_them_are_better_than_over_random_samples(seed):
    """E cos(z₁ + z₂/2) = e^{−5/8} of a standard Gaussian."""
    errors = {}
    for sampling in Sampling:
        sampler = Sampler(
            Gaussian(2), LocalCommunicator(), seed=seed, dtype=torch.float64, sampling=sampling
        )
        blocks = SampleBlocks(1024, 16)
        means = []
        for step in range(20):
            drawn = sampler.draw(blocks, sampler.parts(blocks, 512), RandomStream.STEP, step)
            z = torch.cat(drawn.points)
            means.append(float((z[:, 0] + 0.5 * z[:, 1]).cos().mean()))
        errors[sampling] = np.sqrt(np.mean((np.array(means) - np.exp(-0.625)) ** 2))
    assert errors[Sampling.RANDOM] == pytest.approx(0.66 / 32, rel=0.5)
    assert errors[Sampling.SOBOL] < errors[Sampling.RANDOM] / 10


def test_the_evaluation_sample_is_of_a_scrambling_of_its_own():
    """One point in each of 256 strata along every axis, as for a step, but none of a step's."""
    blocks = SampleBlocks(256, 16)
    sampler = Sampler(
        Gaussian(2), LocalCommunicator(), seed=0, dtype=torch.float64, sampling=Sampling.SOBOL
    )
    z = sampler.evaluation(blocks, 4).z
    for axis in torch.special.ndtr(z).T:
        assert sorted((256 * axis).floor().int().tolist()) == list(range(256))
    for step in range(3):
        drawn = sampler.draw(blocks, sampler.parts(blocks, 512), RandomStream.STEP, step)
        assert not bool(torch.isin(z, torch.cat(drawn.points)).any())


def test_a_density_without_inverse_transform_is_refused():
    class Own:
        dimension = 2

    with pytest.raises(InputError, match=r"has none: give it a method inverse_transform\(\)"):
        Sampler(Own(), LocalCommunicator(), seed=0, dtype=torch.float64, sampling=Sampling.SOBOL)


def test_more_coordinates_than_there_are_are_refused():
    with pytest.raises(InputError, match=r"takes 30000 coordinates.* at most 21201"):
        Sampler(
            Gaussian(30_000), LocalCommunicator(), seed=0, dtype=torch.float64,
            sampling=Sampling.SOBOL,
        )  # fmt: skip
