"""Modes of targets are sought on where gates at those found do not hold the force at the start."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.methods.base import layout_samples
from hpc_wgf.methods.modes import target_modes
from hpc_wgf.problems import find_modes


def problem(potential, mean=0.0, variance=1.0) -> wgf.Problem:
    unknown = wgf.UserPotential(lambda x: potential(x), "unknown")
    start = wgf.Gaussian(2, mean, variance)
    return wgf.Problem([wgf.PotentialEnergy(unknown), wgf.Entropy(1.0)], start, 1.0)


def test_a_mode_that_few_start_samples_lead_to_is_found():
    """One in 200, but the force there is a tenth of all."""
    means = [[-3.0, 0.0], [0.0, 0.0], [4.6, 0.0]]
    sought = problem(wgf.GaussianMixture(means, 1.0, [0.5, 1.0, 0.1]), [-0.3, 0.0])
    first = find_modes(sought.energy.potential(), 1.0, layout_samples(sought.start))
    assert len(first.centres) == 2
    found = target_modes(sought)
    assert torch.allclose(found.centres, torch.tensor(means).double(), atol=0.1)
    assert torch.allclose(found.weights, torch.tensor([0.57, 1.0, 0.1]).double(), atol=0.01)


def test_weights_are_those_by_which_gates_hold_the_force():
    means = [[-4.0, 0.0], [4.0, 0.0]]
    mixture = wgf.GaussianMixture(means, 0.5, [1.0, 3.0])
    weights = target_modes(problem(mixture, variance=4.0)).weights
    assert torch.allclose(weights, torch.tensor([1 / 3, 1.0]).double(), atol=1e-4)
    (tilted,) = (problem(wgf.StyblinskiTang(), variance=2.0),)
    assert target_modes(tilted).weights is None


def test_the_modes_of_a_target_that_is_no_mixture_are_those_of_the_first_search():
    """Nothing that is further out makes gates hold the force, and nothing is changed by it."""
    well = problem(wgf.DoubleWell(4.0, 0.5), variance=0.3)
    first = find_modes(well.energy.potential(), 1.0, layout_samples(well.start))
    assert torch.equal(target_modes(well).centres, first.centres)


def test_without_a_potential_there_are_none():
    with pytest.raises(wgf.InputError, match="there is none: give centres and variance, or a numb"):
        target_modes(wgf.Problem(wgf.Entropy(1.0), wgf.Gaussian(2), 1.0))
