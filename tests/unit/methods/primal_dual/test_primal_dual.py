"""Steps against those of the JKO scheme in closed form; what is refused; stopped and resumed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from stores import assert_same
from watching import Watching

import hpc_wgf as wgf
from hpc_wgf.references.jko import gaussian_step

QUICK = {
    "samples": 256, "step_size": 0.1, "iterations": 70, "learning_rate": 0.05, "width": 16,
    "depth": 2,
}  # fmt: skip
TRAP = wgf.PotentialEnergy(wgf.Quadratic(1, 1.0, 0.5))  # the rate is 1/0.5
ATTRACTION = wgf.InteractionEnergy(wgf.interactions.Power(2.0))


def one_step(parts, observers=(), start=None, **options):
    problem = wgf.Problem(parts, start or wgf.Gaussian(1), until=0.1)
    method = wgf.PrimalDualOptions(**{**QUICK, **options})
    output = wgf.Output(every=0.1, particles=500)
    return wgf.solve(problem, wgf.Affine(1), method, output, observers=observers)


def law(solution):
    """Mean and deviation of the image of N(0, 1)."""
    ends = solution.state(torch.tensor([[0.0], [1.0]], dtype=torch.float64))[:, 0].tolist()
    return ends[0], ends[1] - ends[0]


def step_of_jko(rate, centre, deviation=1.0):
    """From N(0, deviation²) with V = rate/2 |x − centre|² and β = 1: mean and deviation."""
    after, shrunk = gaussian_step(np.array([deviation]), np.array([rate]), 1.0, 0.1)
    return centre * (1.0 - float(shrunk[0])), float(after[0])


@pytest.mark.parametrize("kind", ["interaction", "samples", "float32"])
def test_a_step_is_that_of_jko(kind):
    """Within a fraction of the step's own movement, which is .1 or more."""
    expected = step_of_jko(2.0, 1.0)
    parts, options = [TRAP, wgf.Entropy()], {}
    if kind == "interaction":
        # J = |x − y|²/2 moves x by −τ(x − E[x]) first; the entropy alone is implicit.
        parts, expected = [ATTRACTION, wgf.Entropy()], step_of_jko(0.0, 0.0, 0.9)
    if kind == "samples":
        # A wide one: E_Q[(ρ/Q)²], and with it the noise of the dual, is infinite for narrow ones.
        target = wgf.SampleTarget.drawn_from(wgf.Gaussian(1, 2.0, 2.0), 4000)
        parts, expected = [wgf.PotentialEnergy(target), wgf.Entropy()], step_of_jko(0.5, 2.0)
    if kind == "float32":
        options = {"dtype": "float32"}
    steps = Steps()
    solution = one_step(parts, [steps], **options)
    assert law(solution) == pytest.approx(expected, abs=0.02)
    # Of a target that samples tell the exact dual is not known.
    assert np.isnan(steps.figures[0]["gap"]) == (kind == "samples")


def test_a_start_known_by_samples_has_no_gap():
    rows = np.random.default_rng(0).standard_normal((16_384, 1))
    steps = Steps()
    one_step([TRAP, wgf.Entropy()], [steps], wgf.SampleStart(rows), iterations=2)
    assert np.isnan(steps.figures[0]["gap"])


def test_rows_that_do_not_suffice_are_told_before_any_work():
    rows = np.random.default_rng(0).standard_normal((2200, 1))
    with pytest.raises(wgf.InputError, match="8 times as many samples as an iteration has, 2048"):
        one_step([TRAP, wgf.Entropy()], start=wgf.SampleStart(rows), iterations=2)


class Steps(Watching):
    """Keeps the figures of steps."""

    def __init__(self) -> None:
        self.figures = []

    def on_step(self, step) -> None:
        self.figures.append(step.figures)


def test_the_gap_is_what_the_dual_misses():
    """At h = 1 the divergence of ρ from the Gaussian of its moments; and less once h is trained."""
    density = wgf.Mixture([wgf.Gaussian(1, mean, 0.1) for mean in (-1.0, 1.0)])
    x = torch.linspace(-4, 4, 20_001, dtype=torch.float64)[:, None]
    log_rho, mu = density.log_density(x), torch.distributions.Normal(0.0, 1.1**0.5)
    missed = torch.trapezoid(log_rho.exp() * (log_rho - mu.log_prob(x[:, 0])), x[:, 0])
    gaps = []
    for options in ({"learning_rate": 1e-12, "iterations": 1}, {"dual_steps": 6}):
        steps = Steps()
        method = wgf.PrimalDualOptions(**{**QUICK, "step_size": 1e-4, **options})
        wgf.solve(
            wgf.Problem(wgf.Entropy(), density, until=1e-4), wgf.Affine(1), method,
            wgf.Output(every=1e-4, particles=500), observers=[steps],
        )  # fmt: skip
        gaps.append((steps.figures[0]["gap"], steps.figures[0]["gap_error"]))
    (untrained, first_error), (trained, last_error) = gaps
    assert abs(untrained - float(missed)) < 4 * first_error
    assert -3 * last_error < trained < 0.3 * untrained


@pytest.mark.parametrize(
    ("parts", "options", "said"),
    [
        ([TRAP], {}, "needs an entropy or an internal energy.*pwgf"),
        ([wgf.Entropy(), wgf.InternalEnergy(2.0)], {}, "one dual variable.*2 parts"),
        ([wgf.FermiEntropy(1.0)], {}, "not of FermiEntropy"),
    ],
)
def test_what_the_method_cannot_carry_is_refused(parts, options, said):
    with pytest.raises(wgf.InputError, match=said):
        one_step(parts, **options)


def test_mobility_and_range_are_refused():
    flow = wgf.Problem([TRAP, wgf.Entropy()], wgf.Gaussian(1), until=0.1,
                       mobility=wgf.MatrixMobility(1, 2.0))  # fmt: skip
    with pytest.raises(wgf.InputError, match="a mobility: use method.kind"):
        wgf.solve(flow, wgf.Affine(1), wgf.PrimalDualOptions(**QUICK))
    for bound in (0.0, float("inf"), 1e3):
        with pytest.raises(wgf.InputError, match="log_range"):
            wgf.PrimalDualOptions(log_range=bound)


def test_samples_that_leave_the_box_end_the_run():
    problem = wgf.Problem(wgf.InternalEnergy(2.0), wgf.Barenblatt(1, 2.0, 0.002), until=0.1)
    method = wgf.PrimalDualOptions(**{**QUICK, "margin": 0.01, "iterations": 60})
    with pytest.raises(wgf.RunError, match="have left the box .* larger method.margin"):
        wgf.solve(problem, wgf.Affine(1), method, wgf.Output(every=0.1, particles=500))


def stored(path, *, until=0.3, stop=None, resume=False):
    """Three steps of five iterations, a row after each."""
    problem = wgf.Problem([TRAP, wgf.Entropy()], wgf.Gaussian(1), until=until)
    method = wgf.PrimalDualOptions(**{**QUICK, "samples": 64, "iterations": 5})
    return wgf.solve(
        problem, wgf.Affine(1), method, wgf.Output(path, every=0.1, particles=64), stop=stop,
        resume=resume,
    )  # fmt: skip


def test_stopped_inside_a_step_and_resumed_to_the_bit(tmp_path):
    """Asked after each iteration but the last of a step, and after each step: the eighth time, two
    iterations of the second step are left."""
    stored(tmp_path / "whole")
    asked = []
    stopped = stored(tmp_path / "parts", stop=lambda: asked.append(0) or len(asked) == 8)
    assert stopped.time == pytest.approx(0.1)
    assert not stopped.summary.finished
    kept = wgf.open_run(tmp_path / "parts").checkpoint().memory
    assert {"inner/iteration", "inner/map/exp_avg", "inner/dual/parameters", "method_state"} <= set(
        kept
    )
    stored(tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), wgf.open_run(tmp_path / "whole"))


def test_h_outlasts_rows(tmp_path):
    """A run that goes on from a row to a later end finds h there."""
    stored(tmp_path / "whole")
    stored(tmp_path / "parts", until=0.2)
    stored(tmp_path / "parts", resume=True)
    whole = wgf.open_run(tmp_path / "whole")
    assert_same(wgf.open_run(tmp_path / "parts"), whole)
    states = [whole.method_state(row) for row in range(4)]
    assert all(np.ptp(a - b) > 0 for a, b in pairwise(states))
