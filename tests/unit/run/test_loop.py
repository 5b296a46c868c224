"""The time loop: stored times are met, energy is recorded, bad steps are shortened or stop it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bound import judge_of

import hpc_wgf as wgf
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.run.loop import Loop, _Point
from hpc_wgf.run.schedule import Schedule


def test_schedule_meets_the_stored_times_exactly():
    schedule = Schedule(0.0, 1.0, 0.3)
    time, times = 0.0, []
    while time < 1.0:
        _, time = schedule.step_to(time, 0.07)
        times.append(time)
    for k in (1, 2, 3):
        assert min(abs(t - 0.3 * k) for t in times) < 1e-15
    assert times[-1] == 1.0
    assert max(np.diff([0.0, *times])) <= 0.07 + 1e-12


def test_schedule_does_not_end_on_a_sliver():
    assert Schedule(0.0, 1.0, 0.1).step_to(0.1 + 1e-16, 0.05) == pytest.approx((0.05, 0.15))


@pytest.mark.parametrize(
    ("start", "until", "every", "rows"),
    [(0.0, 0.9, 0.3, 4), (0.0, 1.8, 0.6, 4), (0.1, 0.3, 0.02, 11), (0.0, 0.11, 0.011, 11)],
)
def test_rounding_adds_no_row(start, until, every, rows):
    """3 · 0.3 is one bit below 0.9: a sliver of a step and a second last row once came of it."""
    schedule, times = Schedule(start, until, every), [start]
    while times[-1] < until:
        times.append(schedule.next_after(times[-1]))
    assert len(times) == rows
    assert times[-1] == until


@pytest.mark.parametrize(
    ("start", "every"), [(2460000.5, 0.01), (1e6, 1e-3), (1e5, 1e-4), (1.7e9, 0.1), (-1e6, 1e-2)]
)
def test_times_far_from_zero_go_on(start, every):
    """Julian dates, seconds since 1970: the same row was written again and again."""
    until = start + 5 * every
    schedule, times = Schedule(start, until, every), [start]
    while times[-1] < until and len(times) < 100:
        times.append(schedule.step_to(times[-1], every)[1])
    assert len(times) == 6
    assert times[-1] == until
    assert np.diff(times) == pytest.approx(every, rel=1e-3)


def test_times_that_cannot_be_told_apart_are_refused():
    with pytest.raises(wgf.InputError, match="count time from a start_time nearer to 0"):
        Schedule(1.7e9, 1.7e9 + 1, 1e-4)
    with pytest.raises(wgf.RunError, match="is lost beside t = 1000000"):
        Schedule(1e6, 1e6 + 1, 0.1).step_to(1e6, 1e-12)


def test_the_controller_shortens_accepted_steps():
    """An accepted step whose error is just below the tolerance is followed by a shorter one,
    with no rejection between; a step cut short to meet a stored time does not shorten the next."""
    from hpc_wgf.integrators import PIController
    from hpc_wgf.maps import MapState
    from hpc_wgf.methods.base import State, Trial

    nothing = MapState((), wgf.Affine(1), torch.zeros(1))

    class Scripted:
        def advance(self, state, size):
            return Trial(nothing, 0.99e-3, None, {}, moved=0.2)

        def enter(self, state):
            return state

        def velocity(self, state):
            return None

    seen = SimpleNamespace(displacement=0.3)
    judge = SimpleNamespace(look=lambda map, velocity, since, time: seen)
    controller = PIController(2e-3, order=2, least_scale=1e-3)
    for every, expected in ((10.0, 0.091), (0.01, 0.091)):
        loop = Loop(Scripted(), judge, None, Schedule(0.0, 10.0, every), [])
        _, reached = loop._attempt(controller, _Point(State(0.0, nothing, 0, 0.1), seen), 0.1)
        assert reached.state.step_size == pytest.approx(expected, rel=0.02)


def rejected_steps(log_density):
    """How often a step is tried whose end has folded at one sample with log ρ = log_density(k) at
    attempt k; and what is said at last."""
    from hpc_wgf.ensemble import FailedSamples, SamplesFailed
    from hpc_wgf.integrators import PIController
    from hpc_wgf.maps import MapState
    from hpc_wgf.methods.base import State, Trial

    nothing, sizes = MapState((), wgf.Affine(1), torch.zeros(1)), []

    class Folding:
        def advance(self, state, size):
            sizes.append(size)
            return Trial(nothing, 1e-4, None, {})

        def enter(self, state):
            value, others = log_density(len(sizes)), (-3.0, 1.0)
            where = ("the map has folded", 2, 500, (1.0,), (4.0,), value, others)
            raise SamplesFailed(FailedSamples(*where))

        def controller(self):
            return PIController(1e-3, order=2)

    loop = Loop(Folding(), None, None, Schedule(0.0, 10.0, 10.0), [])
    seen = SimpleNamespace(displacement=1.0)
    with pytest.raises(wgf.RunError) as failure:
        loop._accepted_step(_Point(State(2.0, nothing, 0, 0.1), seen))
    return len(sizes), str(failure.value)


@pytest.mark.parametrize(
    ("limit", "meaning"),
    [
        (5.0, "The density is high there: parts of it meet, as in a collapse or a shock"),
        (-9.0, "The density is low there: it is a thin gap between parts, or the outer edge"),
        (-3.0, "neither high nor low there"),
    ],
)
def test_samples_that_fold_whatever_the_step_end_the_run_early(limit, meaning):
    """It tried twenty steps, and then asked for more samples without a word on where."""
    tries, said = rejected_steps(lambda k: limit + 0.5**k)
    assert tries <= 8 + 2  # the first two still change by more than a tenth
    assert "the map has folded at 2 of 500 samples, first at x = (4) with log ρ" in said
    assert meaning in said


def test_folds_that_shorter_steps_change_are_given_all_attempts():
    """Of a step far too long: log |1 − hk| falls by log 2 with every halving."""
    tries, said = rejected_steps(lambda k: -0.7 * k)
    assert tries == 20
    assert "20 steps from t = 2 were rejected, the last of" in said


def steep(scheme="heun", **options):
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.StyblinskiTang(1.0)), wgf.Entropy(1.0)],
        wgf.Gaussian(1), until=0.1,
    )  # fmt: skip
    map = wgf.Composition(wgf.Affine(1), wgf.BlockFlow(1, 8, spread=3.0))
    return problem, map, wgf.PWGFOptions(1000, 1e-4, scheme, 0.1, **options)


def test_a_step_that_folds_the_map_stops_a_fixed_run():
    where = "folded at .* of 1000 samples, first at x = .*method.tolerance"
    with pytest.raises(wgf.RunError, match=where):
        wgf.solve(*steep(preconditioner="none"))


def test_a_step_too_long_for_any_shift_stops_a_fixed_run():
    """η damped until the step is linear would leave the force over: no answer is better."""
    with pytest.raises(wgf.RunError, match="otherwise than linearly.*method.tolerance"):
        wgf.solve(*steep(), wgf.Output(every=0.1))


def test_a_step_that_folds_the_map_is_shortened_by_a_controller():
    summary = wgf.solve(*steep(tolerance=0.02, tolerance_unit="x")).summary
    assert summary.finished
    assert summary.rejected > 0
    assert summary.map_error_relative[-1] < 0.05


def relaxing(factor, tolerance, unit):
    """From N((1, 0), diag(.5, 2)) to rest about 0, with all lengths `factor` times as long."""
    quadratic = wgf.Quadratic(2, 0.0, [1.0, 0.5])
    energy = [wgf.PotentialEnergy(quadratic), wgf.Entropy(factor**2)]
    start = wgf.Gaussian(2, [factor, 0.0], [0.5 * factor**2, 2.0 * factor**2])
    method = wgf.PWGFOptions(
        300, 1e-9, "kutta32", 0.02, tolerance, preconditioner="dense", tolerance_unit=unit
    )
    return wgf.Problem(energy, start, until=1.0), wgf.Affine(2), method


def sizes(*settings):
    """The lengths of the steps of a run."""
    seen = []
    watch = SimpleNamespace(
        on_row=lambda row: None, on_stop=lambda *stopped: None, on_end=lambda: None,
        on_step=lambda step: seen.append(step.figures["size"]),
    )  # fmt: skip
    wgf.solve(*relaxing(*settings), wgf.Output(every=1.0), observers=[watch])
    return np.array(seen)


def test_a_problem_in_other_units_of_x_takes_the_same_steps():
    """Relative to the displacement the tolerance means the same; in x it is as absolute as x."""
    metres, kilometres = (sizes(factor, 3e-4, "displacement") for factor in (1.0, 1e-3))
    assert len(metres) > 5
    assert kilometres == pytest.approx(metres, rel=1e-3)
    metres, kilometres = (sizes(factor, 3e-4 * factor, "x") for factor in (1.0, 1e-3))
    assert kilometres == pytest.approx(metres, rel=1e-3)
    assert len(sizes(1e-3, 3e-4, "x")) < len(metres)


@pytest.mark.parametrize(("unit", "scale"), [("displacement", None), ("x", 1.0)])
def test_the_error_of_a_step_is_held_to_a_share_of_the_displacement(unit, scale):
    """What the controller remembers is error over tolerance · (D + ΔD), both by hand: D = 0 at the
    first step, and from the evaluation sample at those after it."""
    runner = PWGF.on(*relaxing(1.0, 1e-2, unit), LocalCommunicator())
    judge = judge_of(runner)
    loop, z = Loop(runner, judge, None, Schedule(0.0, 1.0, 1.0), []), judge.evaluation.z
    point = loop._first(runner.start())
    for _ in range(3):
        state = point.state
        trial, following = loop._attempt(runner.controller(), point, 0.02)
        drawn = torch.cat(list(runner.samples(state.map, state.step).points))
        moved = rms(trial.map(drawn) - state.map(drawn))
        if scale is None:  # else nobody asks how far the samples go
            assert trial.moved == pytest.approx(moved, rel=1e-9)  # as the map is linear in θ
        largest = 1e-2 * (scale or rms(point.look.x - z) + moved)
        assert following.state.last_error == pytest.approx(trial.error / largest, rel=1e-9)
        point = following


def rms(movement):
    return float(movement.square().sum(1).mean().sqrt())


def test_order_on_the_parameters():
    """θ' = rhs(θ) itself: the error at a fixed time falls with the scheme's order. One frozen
    sample for all steps, so that the equation is the same at every step size."""
    from hpc_wgf.integrators import TABLEAUX, runge_kutta_step

    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)], wgf.Gaussian(2), until=1.0
    )
    map = wgf.Affine(2)  # a metric far from singular: nothing but the scheme errs
    options = wgf.PWGFOptions(samples=300, rtol=1e-13)
    runner = PWGF.on(problem, map, options, LocalCommunicator())

    def rhs(theta, after=0.0):
        return runner.evaluate(
            runner.start().map.moved(theta), runner.setting.evaluation.ensemble
        ).eta

    start = runner.start().theta

    def end(name, steps):
        theta = start
        for _ in range(steps):
            theta = runge_kutta_step(rhs, theta, rhs(theta), 0.2 / steps, TABLEAUX[name])[0]
        return theta

    exact = end("rk4", 128)
    for name, tableau in TABLEAUX.items():
        errors = [float((end(name, steps) - exact).norm()) for steps in (8, 16)]
        assert np.log2(errors[0] / errors[1]) == pytest.approx(tableau.order, abs=0.15), name


def test_energy_identity():
    """dF/dt = −ηᵀĜη: the measured energy between stored rows against the recorded rate."""
    problem, map, options = wgf.load_problem(
        "ou-2d", "method.samples=4000", "method.step=0.0125", "problem.until=0.4"
    )
    summary = wgf.solve(problem, map, options, wgf.Output(every=0.0125)).summary
    energy, rate = np.array(summary.energy), np.array(summary.energy_rate)
    central = (energy[2:] - energy[:-2]) / 0.025
    assert np.abs(central / rate[1:-1] - 1).max() < 0.03
    assert (np.diff(energy) < 0).all()


def test_projection_errors_on_own_and_fresh_samples_agree():
    """Both are means over 4000 samples of the same quantity."""
    summary = wgf.solve(*wgf.load_problem("gmm-two-moons", "problem.until=0.06")).summary
    own, fresh = np.array(summary.projection_error), np.array(summary.projection_error_fresh)
    assert np.abs(fresh / own - 1).max() < 0.15


def test_no_exact_solution_is_null_not_a_number():
    problem, map, options = wgf.load_problem(
        "rosenbrock-10d", "method.samples=300", "problem.until=0.01"
    )
    summary = wgf.solve(problem, map, options, wgf.Output(every=0.01)).summary
    assert summary.map_error_relative is None
    assert summary.kl_divergence is None
    assert '"map_error_relative": null' in summary.to_json()
