"""Descriptions hold every digit, in the shortest form, and earlier ones are recognised."""

from __future__ import annotations

import torch

from hpc_wgf import Barenblatt, Box, Gaussian, Mixture, PotentialEnergy, Quadratic
from hpc_wgf.problems import SumOfEnergies, SumOfPotentials
from hpc_wgf.problems.descriptions import in_short_form

THIRD = 1 / 3


def test_equal_entries_are_written_once():
    assert repr(Gaussian(10**5, THIRD, 0.1)) == f"Gaussian(mean={THIRD}, covariance=0.1)"
    assert repr(Box(10**5, -1.0, 2.0)) == "Box(low=-1.0, high=2.0, ramp=0.0)"
    assert repr(Barenblatt(3, 2.0)) == "Barenblatt(m=2.0, time=1.0, centre=0.0)"
    kept = f"Quadratic(mean=[0.0, {THIRD}], covariance=[1e-05, 1.0])"
    assert repr(Quadratic(2, [0.0, THIRD], [1e-5, 1.0])) == kept


def test_what_earlier_versions_wrote_out_is_the_same():
    full = [[1.0, 0.25], [0.25, 0.5]]
    terms = [(2.0, Quadratic(2, 3.0, 1e-5)), (-1.0, Quadratic(2, [0.5, THIRD], full))]
    now = SumOfEnergies([PotentialEnergy(SumOfPotentials(terms))])
    then = (
        "SumOfEnergies([PotentialEnergy(potential=SumOfPotentials([(2.0, Quadratic(mean=[3.0, 3.0],"
        " covariance=[[1e-05, 0.0], [0.0, 1e-05]])), (-1.0, Quadratic(mean=[0.5, "
        f"{THIRD}], covariance=[[1.0, 0.25], [0.25, 0.5]]))]))])"
    )
    assert repr(now) != then
    assert in_short_form(repr(now)) == in_short_form(then) == repr(now)
    start = Mixture([Gaussian(2, 0.0, [1.0, 2.0]), Box(2, [-1.0, -2.0], 1.0)])
    before = (
        "Mixture([Gaussian(mean=[0.0, 0.0], covariance=[[1.0, 0.0], [0.0, 2.0]]), "
        "Box(low=[-1.0, -2.0], high=[1.0, 1.0], ramp=0.0)], weights=[0.5, 0.5])"
    )
    assert in_short_form(before) == repr(start)


def test_other_numbers_stay_others():
    diagonal = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert in_short_form(repr(Gaussian(2, 0.0, diagonal))) == repr(Gaussian(2, 0.0, [1.0, 2.0]))
    for other in (Gaussian(2, 0.0, [1.0, 2.0 + 1e-15]), Gaussian(2, [0.0, 1e-300], [1.0, 2.0])):
        assert in_short_form(repr(other)) != in_short_form(repr(Gaussian(2, 0.0, diagonal)))
