"""What is told of samples in files before a run, and that all ranks must have the same."""

from __future__ import annotations

import numpy as np
import pytest

import hpc_wgf as wgf
from hpc_wgf.checks import check_same_samples, sample_notes

X = np.random.default_rng(0).standard_normal((400, 2))


class Ranks:
    """A communicator that hands on what another rank has found."""

    def __init__(self, other=None):
        self.other, self.found = other, None

    def gather(self, value):
        self.found = value
        return [value, self.other or value]


def problem(x, **of_target):
    energy = [wgf.PotentialEnergy(wgf.SampleTarget(x, **of_target)), wgf.Entropy(1.0)]
    return wgf.Problem(energy, wgf.SampleStart(x), until=1.0)


def test_ranks_that_find_other_samples_or_learn_otherwise_are_refused():
    ours, alike, other, seeded = Ranks(), Ranks(), Ranks(), Ranks()
    check_same_samples(problem(X), ours)
    check_same_samples(problem(X.copy()), alike)
    assert alike.found == ours.found
    check_same_samples(problem(2 * X), other)
    check_same_samples(problem(X, seed=1), seeded)
    for each in (other, seeded):
        with pytest.raises(wgf.InputError, match="the ranks do not find the same samples"):
            check_same_samples(problem(X), Ranks(each.found))


def test_ranks_that_start_from_other_samples_are_refused():
    """Where nothing is learned from them."""
    first, other = (
        wgf.Problem([wgf.Entropy(1.0)], wgf.SampleStart(x), until=1.0) for x in (X, 2 * X)
    )
    found = Ranks()
    check_same_samples(other, found)
    with pytest.raises(wgf.InputError, match="the ranks do not find the same samples"):
        check_same_samples(first, Ranks(found.found))


def test_what_no_samples_tell_is_not_compared():
    none = Ranks()
    check_same_samples(wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(2), until=1.0), none)
    assert none.found is None


def test_what_is_told_of_them():
    first, second, third = sample_notes(problem(X))
    assert "energies are given without β∫λ log λ" in first
    assert "E_μ[Q/μ]" in second
    assert "400 samples are few" in third
    of_position = wgf.Problem(
        [wgf.PotentialEnergy(wgf.Quadratic(2))], wgf.SampleStart(X), until=1.0
    )
    assert sample_notes(of_position) == []
