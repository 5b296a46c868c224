"""Where the solves of later stages begin."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.methods.pwgf.stage_guess import StageGuess


def test_it_lies_on_the_line_through_two_times():
    a, b = torch.randn(5), torch.randn(5)
    guess = StageGuess(1.0, a + 1.0 * b)
    assert torch.equal(guess.at(3.0), a + b)
    guess.add(1.5, a + 1.5 * b)
    assert torch.allclose(guess.at(2.25), a + 2.25 * b, rtol=1e-14)
    assert torch.equal(guess.at(1.5), a + 1.5 * b)


def test_of_two_stages_at_a_time_the_later_one_counts():
    first, second, third = torch.randn(3, 5)
    guess = StageGuess(0.0, first)
    guess.add(0.5, second)
    guess.add(0.5, third)
    assert torch.equal(guess.at(0.5), third)
    assert torch.allclose(guess.at(1.0), 2 * third - first)


def test_stages_that_begin_the_step_have_no_line():
    first, second = torch.randn(2, 5)
    guess = StageGuess(0.0, first)
    guess.add(0.0, second)
    assert guess.at(0.3) == pytest.approx(second)
