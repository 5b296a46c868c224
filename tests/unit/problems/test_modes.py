"""Modes of potentials from descents of start samples, against potentials whose modes are known."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.methods.base import layout_samples
from hpc_wgf.problems import find_modes

D, BETA = 4, 0.7
NARROW_AND_WIDE = wgf.UserPotential(
    lambda x: -torch.stack([-0.5 * (x**2).sum(1), -50 * ((x - 5) ** 2).sum(1)]).logsumexp(0),
    "wells",
)
"""Of variances 1 and .01."""


def searched(potential, start, beta=1.0):
    """The modes of a potential of which nothing is known but its values."""
    unknown = wgf.UserPotential(lambda x: potential(x), "unknown")
    return find_modes(unknown, beta, layout_samples(start))


def test_all_modes_of_separated_gaussians_and_their_width():
    means = 12 * torch.rand(7, D, generator=torch.Generator().manual_seed(0)).double() - 6
    mixture = wgf.GaussianMixture(means, 0.04)
    modes = searched(mixture, wgf.Gaussian(D, 0.0, 16.0))
    ordered = torch.tensor(sorted(means.tolist()), dtype=torch.float64)
    assert torch.allclose(modes.centres, ordered, atol=1e-6)
    assert modes.variance == pytest.approx(0.04, rel=1e-5)


def test_a_mixture_tells_its_means_itself():
    mixture = wgf.GaussianMixture([[0.0, 0.0], [0.5, 0.0]], 1.0)  # one mode, two components
    assert find_modes(mixture, 1.0, torch.zeros(1, 2).double()).centres.equal(mixture.means)
    assert len(searched(mixture, wgf.Gaussian(2)).centres) == 1


def test_the_minima_of_a_double_well_and_the_width_of_its_modes():
    """V = h (x² − 1)² + x/2 has its minima where 4h x (x² − 1) = −½; V″ = 4h (3x² − 1)."""
    height, found = 4.0, []
    for x in (-1.0, 1.0):
        for _ in range(50):
            x -= (4 * height * x * (x * x - 1) + 0.5) / (4 * height * (3 * x * x - 1))
        found.append(x)
    well = wgf.UserPotential(lambda x: (height * (x**2 - 1) ** 2 + 0.5 * x)[:, 0], "well")
    modes = searched(well, wgf.Gaussian(1, 0.5, 0.3), BETA)
    assert torch.allclose(modes.centres[:, 0], torch.tensor(found).double(), atol=1e-6)
    widths = [BETA / (4 * height * (3 * x * x - 1)) for x in found]
    assert modes.variance == pytest.approx(sum(widths) / 2, rel=1e-5)


def test_every_sample_descends_for_itself():
    """The few in a narrow well stay there, however far the others have to go."""
    modes = searched(NARROW_AND_WIDE, wgf.Gaussian(2, 2.5, 9.0))
    assert torch.allclose(modes.centres, torch.tensor([[0.0, 0.0], [5.0, 5.0]]).double(), atol=1e-6)


def test_the_masses_of_gaussians_are_their_weights():
    mixture = wgf.GaussianMixture([[0.0, 0.0], [8.0, 0.0]], 1.0, [1.0, 3.0])
    found = searched(mixture, wgf.Gaussian(2, [4.0, 0.0], 4.0))
    assert torch.allclose(found.weights, torch.tensor([1 / 3, 1.0]).double(), atol=1e-6)
    weights = searched(NARROW_AND_WIDE, wgf.Gaussian(2, 2.5, 9.0)).weights
    assert torch.allclose(weights, torch.tensor([1.0, 0.01]).double(), rtol=1e-4)


def test_modes_of_a_mixture_have_its_weights():
    mixture = wgf.GaussianMixture([[0.0, 0.0], [4.0, 0.0]], 1.0, [1.0, 3.0])
    assert find_modes(mixture, 1.0, torch.zeros(1, 2).double()).weights.tolist() == [1.0, 3.0]


def test_saddles_are_no_modes():
    """Samples on the line x = 0 stay there; it holds a saddle."""
    potential = wgf.UserPotential(lambda x: (x[:, 0] ** 2 - 1) ** 2 + x[:, 1] ** 2, "saddle")
    z = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).double()
    z[:100, 0] = 0
    modes = find_modes(potential, 1.0, z)
    assert torch.allclose(modes.centres, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double())


def test_the_same_modes_to_the_bit_whatever_the_rounding():
    """Ranks on other machines round otherwise: the last digits are left out."""
    mixture = wgf.GaussianMixture([[2.0, 0.1], [-1.7, 0.3], [0.2, -2.2]], 0.3)
    one = searched(mixture, wgf.Gaussian(2, 0.0, 4.0))
    rounded = wgf.UserPotential(lambda x: mixture(x) * (1 + 1e-15) + 3.0, "rounded")
    other = searched(rounded, wgf.Gaussian(2, 0.0, 4.0))
    assert one.centres.equal(other.centres)
    assert one.variance == other.variance
    assert one.weights.equal(other.weights)


def test_what_has_no_modes_to_be_found_is_refused():
    with pytest.raises(wgf.InputError, match="entropy of beta > 0"):
        searched(wgf.Quadratic(2), wgf.Gaussian(2), 0.0)
    slope = wgf.UserPotential(lambda x: x.sum(1), "slope")
    with pytest.raises(wgf.InputError, match="none of 256 descents"):
        searched(slope, wgf.Gaussian(2))
    with pytest.raises(wgf.InputError, match="too many to be found"):
        searched(wgf.StyblinskiTang(), wgf.Gaussian(20, 0.0, 4.0))


def test_more_samples_are_taken_where_many_lead_to_a_mode_alone():
    """Wells at the multiples of 2π/3 along four axes, of which 256 samples see many only once."""
    wells = wgf.UserPotential(lambda x: (1 - torch.cos(3 * x) + 0.02 * x**2).sum(1), "wells")
    z = layout_samples(wgf.Gaussian(4, 0.0, 2.0))
    with pytest.raises(wgf.InputError, match="of them seen only once"):
        find_modes(wells, 1.0, z[:256])
    found = find_modes(wells, 1.0, z).centres
    few = {tuple((3 * x / (2 * torch.pi)).round().tolist()) for x in z[:256]}
    assert len(found) > len(few)
    assert float(wells.gradient(found).abs().max()) < 1e-4
