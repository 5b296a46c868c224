"""Deep JKO against exact steps and flows; its store, read and gone on with."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from deep_jko_steps import OPTIONS as FEW
from deep_jko_steps import PROBLEM as FERMI
from deep_jko_steps import asked
from deep_jko_steps import solve as solve_fermi
from deep_jko_study import KIND, RECORD, STUDIES
from stores import assert_same

import hpc_wgf as wgf
from hpc_wgf.config import load
from hpc_wgf.methods.deep_jko.checks import mobility_warnings
from hpc_wgf.store import check

OU = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, [1.0, 0.0], [1.0, 0.5])), wgf.Entropy(0.5)],
    wgf.Gaussian(2, covariance=[0.6, 2.0]), until=0.2,
)  # fmt: skip
BOUNDS = {"two-to-four": 5e-2, "fermi-1d": 1e-1}
"""Of the map error over the displacement at the end."""
OPTIONS = wgf.DeepJKOOptions(samples=512, sampling="sobol", step_size=0.1, iterations=60, width=4)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("deep") / "run"
    wgf.solve(OU, wgf.Affine(2), OPTIONS, wgf.Output(path, every=0.2))
    return path


def exact_step(x, variance, rate, centre, *, h=0.1, beta=0.5):
    """That of Jordan, Kinderlehrer and Otto for N(0, s²) on the line: s'(1/h + λ) − s/h = β/s' and
    m' = λc/(1/h + λ)."""
    s, a = math.sqrt(variance), 1 / h + rate
    grown = (s / h + math.sqrt((s / h) ** 2 + 4 * a * beta)) / (2 * a)
    return rate * centre / a + grown / s * x


@pytest.mark.parametrize("velocity", ["block", "potential", "residual"])
def test_a_step_is_that_of_jordan_kinderlehrer_and_otto(velocity):
    """In both coordinates, whose rates are 1 and 2. The paths of an affine velocity are no straight
    lines, which is of a higher order in h."""
    options = replace(OPTIONS, velocity=velocity, iterations=80, width=8)
    seen = []

    class Seen:
        def on_row(self, row):
            seen.append(row.particles)

        def on_step(self, step): ...
        def on_stop(self, *_): ...
        def on_end(self): ...

    output = wgf.Output(every=0.1)
    found = wgf.solve(OU.replace(until=0.1), wgf.Affine(2), options, output, observers=[Seen()])
    z, x = seen[0], seen[-1]
    expected = torch.stack(
        [exact_step(z[:, 0], 0.6, 1.0, 1.0), exact_step(z[:, 1], 2.0, 2.0, 0.0)], 1
    )
    assert float((x - expected).norm() / (z - expected).norm()) < 0.06
    assert found.summary.stages == 1


def test_the_flow_of_two_gaussians_to_four():
    """Of the steps that are recorded, the first two, on fewer samples."""
    spec = wgf.load_problem("fp-two-to-four-2d", "problem.until=0.1")
    options = wgf.DeepJKOOptions(samples=1024, sampling="sobol", step_size=0.05, iterations=60)
    output = wgf.Output(every=0.1)
    summary = wgf.solve(spec.problem, spec.map, options, output).summary
    assert summary.map_error_relative[-1] < 0.11
    assert summary.folded[-1] == 0


def test_a_flow_with_mobility_does_not_fold():
    """Attraction of fermions on the line: interaction, and a density that stays below 1."""
    spec = wgf.load_problem("mobility-fermi-1d", "problem.until=0.1")
    options = wgf.DeepJKOOptions(samples=1024, sampling="sobol", step_size=0.05, iterations=60)
    output = wgf.Output(every=0.1)
    summary = wgf.solve(spec.problem, spec.map, options, output).summary
    assert summary.map_error_relative[-1] < 0.1
    assert max(summary.folded) == 0


def test_every_step_is_a_stage_and_a_row(stored):
    run = wgf.open_run(stored)
    assert run.column("time").tolist() == [0.0, 0.1, 0.2]
    assert run.column("stage").tolist() == [0, 0, 1]
    assert run.attributes["map"] == "velocity-flow"
    assert not run.attributes["map_chosen"]
    assert not list(check(run))
    # The parameters of a frozen stage lie there once, as those of the row that ends it.
    p = run.attributes["parameters"]
    assert run.column("theta").shape == (3, p)
    assert run.column("stage_theta").shape == (3, p)
    assert np.isnan(run.column("velocity")[0]).all()
    # As v grows in proportion to time, that of the outputs is what they are over h.
    theta, eta = run.theta(2), run.velocity(2)
    moves = eta != 0
    assert 0 < moves.sum() < p
    np.testing.assert_allclose(eta[moves], theta[moves] / 0.1, rtol=1e-12)


def test_the_equation_of_a_step_is_judged(stored):
    """δ is what is left of v/h = −f where the step ends: a few hundredths of |f|² here."""
    run = wgf.open_run(stored)
    left = run.column("projection_error_fresh")[1:] / run.column("force_square_fresh")[1:]
    assert (left < 0.05).all()
    assert (run.column("step_gradient_left") < 0.1).all()
    assert (run.column("step_log_det_error") < 1e-3).all()


def test_a_stored_run_is_a_map_at_every_time(stored):
    run = wgf.open_run(stored, wgf.RunSpec(OU, wgf.Affine(2), OPTIONS))
    z = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at_row, between = run.map_at(0.2), run.map_at(0.15)
    assert float((at_row.inverse(at_row.push(z)) - z).abs().max()) < 1e-8
    middle = 0.5 * (run.map_at(0.1).push(z) + at_row.push(z))
    far = (at_row.push(z) - run.map_at(0.1).push(z)).norm()
    assert float((between.push(z) - middle).norm() / far) < 0.05


def test_it_is_gone_on_with_to_a_later_end(stored, tmp_path):
    part = tmp_path / "part"
    output = wgf.Output(part, every=0.2)
    wgf.solve(OU.replace(until=0.1), wgf.Affine(2), OPTIONS, output)
    wgf.solve(OU, wgf.Affine(2), OPTIONS, output, resume=True)
    whole = wgf.open_run(stored)
    for name in ("theta", "particles", "stage_theta", "velocity", "step_objective"):
        assert np.array_equal(
            wgf.open_run(part).column(name), whole.column(name), equal_nan=True
        ), name


@pytest.mark.parametrize("at", [3, 10], ids=["in the first step", "in the second"])
def test_stopped_within_a_step_it_is_resumed_to_the_bit(tmp_path, at):
    solve_fermi(tmp_path / "whole", 0.1)
    stopped = solve_fermi(tmp_path / "parts", 0.1, stop=asked(at, dies=False)).summary
    assert not stopped.finished
    solve_fermi(tmp_path / "parts", 0.1, resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), wgf.open_run(tmp_path / "whole"))


def test_samples_that_are_drawn_anew_are_carried_by_all_steps_before():
    """[DJKO, Algorithm 1]: each step has new samples, of the same law."""
    ends = [
        wgf.solve(
            OU, wgf.Affine(2), replace(OPTIONS, redraw=how, iterations=30), wgf.Output(every=0.2)
        ).state
        for how in ("run", "step")
    ]
    z = torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, other = (state(z) for state in ends)
    assert 0 < float((one - other).norm() / (one - z).norm()) < 0.1


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"drift": wgf.LinearDrift(2, [[0.0, 1.0], [-1.0, 0.0]])}, {}, "problem.drift has none"),
        ({"mobility": wgf.Saturating(1.0), "inner_product": "plain"}, {}, 'use .* "natural"'),
    ],
    ids=["drift", "plain"],
)  # fmt: skip
def test_what_is_refused(change, options, said):
    given = {"inner_product": OU.inner_product, **change}
    problem = wgf.Problem(OU.energy.parts, OU.start, 0.1, **given)
    with pytest.raises(wgf.InputError, match=said):
        wgf.solve(problem, wgf.Affine(2), replace(OPTIONS, **options))


def test_stages_of_ones_own_are_refused():
    with pytest.raises(wgf.InputError, match="freezes a map with every step"):
        wgf.solve(OU, wgf.Affine(2), OPTIONS, stages=wgf.Stages([0.1]))


def test_too_few_steps_in_tau_end_the_run():
    """A contraction a thousandfold in one step of Runge–Kutta."""
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.Quadratic(1, 0.0, 1e-4)), wgf.Entropy(1.0)], wgf.Gaussian(1), 1.0
    )
    options = replace(OPTIONS, step_size=1.0, iterations=200)
    with pytest.raises(wgf.RunError, match=re.escape("method.flow_steps = 1: take more")):
        wgf.solve(problem, wgf.Affine(1), options)


def test_gradients_alone_are_warned_of_with_a_mobility():
    problem = wgf.Problem(OU.energy.parts, OU.start, 0.1, mobility=wgf.CovarianceMobility())
    (warning,) = mobility_warnings(problem, replace(OPTIONS, velocity="potential"))
    assert "moves along gradients" in warning
    assert not mobility_warnings(problem, OPTIONS)


def test_steps_of_one_size_are_not_the_first_of_controlled_ones():
    """Of the catalogue's explicit scheme; a step that is given counts."""
    kind = "method.kind=deep-jko"
    assert wgf.load_problem("porous-deep-2d", kind).method.step_size == FEW.step_size / 2
    spec = wgf.load_problem("porous-deep-2d", "method.step=0.01", kind)
    assert spec.method.step_size == 0.01
    assert spec.method.samples == 4000
    assert math.isclose(FERMI.until, 0.15)


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_recorded_is_of_the_studies_and_within_bounds(name):
    """`python tests/support/deep_jko_study.py` records anew."""
    problem, *settings = STUDIES[name]
    load(problem, (KIND, *settings))  # is still valid
    records = json.loads(RECORD.read_text())
    if name in BOUNDS:
        errors = records[name]["map_error_relative"]
        assert records[name]["settings"] == [KIND, *settings]
        assert errors[-1] <= BOUNDS[name]
        assert max(records[name]["folded"]) == 0


def _comes(x, t):
    return 0.5 * (x - 4 * t).square().sum(1)


def test_what_is_at_rest_at_the_start_begins_to_move():
    """N(0, I) begins at the centre of ½|x − 4t|². Steps have m'(1 + h) = m + 4ht', and so .0364
    and .1058."""
    problem = wgf.Problem(
        [wgf.MovingPotentialEnergy(wgf.UserMovingPotential(_comes)), wgf.Entropy()],
        wgf.Gaussian(1),
        until=0.2,
    )
    found = wgf.solve(problem, wgf.Affine(1), OPTIONS, wgf.Output(every=0.2, bound=False))
    mean = float(found.state(torch.zeros(1, 1, dtype=torch.float64)))
    assert mean == pytest.approx(0.1058, abs=0.01)
