"""What periods and walls ask of a run is checked before any work."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.interactions import NonradialKernel
from hpc_wgf.maps import PeriodicMap
from hpc_wgf.periods import Periods
from hpc_wgf.problems import Cosine, Walls

CIRCLE = Periods((1.0, 0.0))
COSINE = wgf.PotentialEnergy(Cosine(2, [0.5, 0.0], stiffness=[0.0, 1.0]))
SHORT = wgf.PWGFOptions(samples=200, step_size=0.01, scheme="euler")


def run(energy, map, periods=CIRCLE, start=None):
    start = start or wgf.Gaussian(2, 0.25, [0.01, 1.0])
    problem = wgf.Problem([*energy, wgf.Entropy(0.25)], start, 0.01, periods=periods)
    particles = 100 if problem.energy.interactions else 1000
    return wgf.solve(problem, map, SHORT, wgf.Output(bound=False, particles=particles))


def kuramoto(x):
    return -torch.cos(2 * torch.pi * x[:, 0]) + 0.1 * x[:, 1] ** 2


@pytest.mark.parametrize(
    ("energy", "map", "message"),
    [
        ([COSINE], wgf.Affine(2), "does not commute with the period 1 of coordinate 0.*periodic"),
        ([COSINE], wgf.BlockFlow(2, 4), "does not commute with the period 1 of coordinate 0"),
        ([COSINE], PeriodicMap(Periods((0.9, 0.0)), 2), "does not commute with the period"),
        ([wgf.PotentialEnergy(wgf.Quadratic(2))], PeriodicMap(CIRCLE), "has not the period 1"),
        ([wgf.PotentialEnergy(Cosine(2, wavelength=0.4))], PeriodicMap(CIRCLE), "has not the per"),
        ([wgf.InteractionEnergy(wgf.GaussianKernel())], PeriodicMap(CIRCLE),
         "known up to a period only: give a NonradialKernel"),
    ],
)  # fmt: skip
def test_what_has_not_the_periods_is_refused_in_one_line(energy, map, message):
    with pytest.raises(wgf.InputError, match=message) as refused:
        run(energy, map)
    assert "\n" not in str(refused.value)


def test_what_has_the_periods_runs():
    """Also a potential of another wavelength of which the period is a multiple, and an interaction
    of cosines; the start's score and mass are tried on the circle."""
    kernel = wgf.InteractionEnergy(NonradialKernel(kuramoto))
    half = wgf.PotentialEnergy(Cosine(2, [0.1, 0.0], wavelength=[0.5, 1.0]))
    summary = run([COSINE, half, kernel], PeriodicMap(CIRCLE, 3)).summary
    assert summary.finished
    assert summary.energy[-1] < summary.energy[0]


def test_the_score_is_tried_on_the_circle():
    """A start whose score is that of the density before it was wrapped."""

    class Unwrapped:
        dimension, jump, moments = 1, lambda self: None, lambda self: None

        def __init__(self):
            self.whole = wgf.Problem(
                [wgf.Entropy(1.0)], wgf.Gaussian(1, 0.5, 0.2), 1.0, periods=[1.0]
            ).start
            self.sample, self.log_density = self.whole.sample, self.whole.log_density

        def score(self, z):
            return self.whole.density.score(z.remainder(1.0))

    circle = Periods((1.0,))
    problem = wgf.Problem([wgf.Entropy(0.25)], Unwrapped(), 0.01, periods=circle)
    with pytest.raises(wgf.InputError, match="score of the start density"):
        wgf.solve(problem, PeriodicMap(circle, 2), SHORT, wgf.Output(bound=False))


def test_a_start_that_leaves_its_box_is_refused():
    walls = wgf.PotentialEnergy(Walls(2, [-1.0, 0.0], [1.0, 1.0], [50.0, 0.0]))
    with pytest.raises(wgf.InputError, match=r"leaves the box: .*at -1 and 1 of coordinate 0"):
        run([walls], wgf.Affine(2), periods=None, start=wgf.Gaussian(2, 0.0, 0.25))
    inside = wgf.Gaussian(2, 0.0, [0.04, 1.0])
    assert run([walls], wgf.Affine(2), periods=None, start=inside).summary.finished


class Turning:
    """Stages of one's own: the map that goes on knows no circles."""

    def ends(self, state, look, *, folds):
        return state.step == 1

    def next_map(self, state):
        return wgf.Affine(2)


def test_a_later_stage_has_the_periods_too():
    start = wgf.Gaussian(2, 0.25, [0.01, 1.0])
    problem = wgf.Problem([COSINE, wgf.Entropy(0.25)], start, 0.02, periods=CIRCLE)
    with pytest.raises(wgf.InputError, match="does not commute with the period"):
        wgf.solve(problem, PeriodicMap(CIRCLE), SHORT, wgf.Output(bound=False), stages=Turning())
