"""Periods of coordinates: what they are, what is folded, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.periods import Periods


def test_points_are_folded_by_whole_periods():
    periods = Periods.of(3, [1.0, 0.0, 2.5])
    assert (periods.circles, periods.lines) == ([0, 2], [1])
    z = 5 * torch.randn(200, 3, dtype=torch.float64)
    folded = periods.folded(z)
    assert bool(periods.contain(folded).all())
    assert not bool(periods.contain(z).all())
    turns = (z - folded) / torch.tensor([1.0, 1.0, 2.5])
    assert torch.equal(turns[:, 1], torch.zeros(200))
    assert float((turns - turns.round()).abs().max()) < 1e-12


def test_rotations_have_the_periods_and_their_own_derivative():
    periods = Periods.of(2, [0.0, 3.0])
    z = torch.randn(20, 2, dtype=torch.float64)
    velocity, slope = periods.rotations(z)
    assert torch.allclose(velocity[:, 0], torch.sin(2 * math.pi * z[:, 1] / 3) * 3 / (2 * math.pi))
    after, before = (periods.rotations(z + s * periods.shift(1, z))[0] for s in (1e-6, -1e-6))
    assert torch.allclose((after - before) / 6e-6, slope, atol=1e-8)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1.0], "1 periods are given in dimension 2"),
        ([1.0, -2.0], "coordinate 1 must be finite and positive, or 0"),
        ([math.inf, 0.0], "coordinate 0 must be finite"),
    ],
)
def test_periods_that_are_none_are_refused(lengths, message):
    with pytest.raises(InputError, match=message):
        Periods.of(2, lengths)


def test_no_period_is_no_circle():
    assert Periods.of(2, None) is None
    assert Periods.of(2, [0.0, 0.0]) is None
