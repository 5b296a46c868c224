"""An accuracy as the input of a run: what pilot runs choose for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hpc_wgf as wgf
from hpc_wgf.errors import StoppedEarly
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.report.accuracy import accuracy_missed, of_accuracy
from hpc_wgf.run.accuracy import choose
from hpc_wgf.run.pilot import Pilot


@pytest.mark.parametrize(
    ("name", "accuracy"), [("ou-2d-aniso", 5e-3), ("styblinski-tang-2d", 2e-2)]
)
def test_the_true_error_is_below_the_accuracy(name, accuracy):
    until = {"ou-2d-aniso": 0.4, "styblinski-tang-2d": 0.12}[name]
    spec = wgf.load_problem(name, f"method.accuracy={accuracy}", f"problem.until={until}")
    summary = wgf.solve(*spec).summary
    errors = [error for error in summary.map_error_relative if error is not None]
    assert 0 < max(errors) <= accuracy
    asked = summary.accuracy
    assert asked["estimate"] <= 0.7 * accuracy
    assert summary.samples == asked["samples"] != spec.method.samples
    assert not accuracy_missed(summary)
    assert f"accuracy {accuracy:g} of the displacement" in of_accuracy(summary)


def wells(map, **options):
    potential = wgf.DoubleWell(4.0, 0.5, 1.0)
    problem = wgf.Problem([wgf.PotentialEnergy(potential), wgf.Entropy(0.5)], wgf.Gaussian(1),
                          until=0.2)  # fmt: skip
    method = wgf.PWGFOptions(**{"scheme": "kutta32", "step_size": 0.01, **options})
    return wgf.solve(problem, map, method, wgf.Output(every=0.1)).summary


def test_an_accuracy_that_a_map_cannot_reach_is_told_with_its_reason():
    """No affine map follows a flow towards two wells."""
    summary = wells(wgf.Affine(1), accuracy=1e-3)
    assert summary.finished
    (said,) = accuracy_missed(summary)
    assert "the map does not follow the force" in said
    assert "a richer map" in said
    assert "times the accuracy of 0.001" in said


def test_pilots_tell_steps_samples_and_map_apart():
    exact = wgf.load_problem("ou-2d-aniso", "problem.until=0.2", "method.tolerance=0.1")
    exact = exact._replace(map=wgf.Affine(2))
    rough = Pilot.run(*exact[:3], wgf.Stages("none"), LocalCommunicator(), every=0.1)
    assert rough.of_time > 0.99  # an affine map and any samples hold this force
    potential = wgf.StyblinskiTang()
    problem = wgf.Problem([wgf.PotentialEnergy(potential), wgf.Entropy(1.0)], wgf.Gaussian(2),
                          until=0.02)  # fmt: skip
    for map, count, part in (
        (wgf.AxisSpline(2, 40), 100, "of_samples"), (wgf.Affine(2), 2000, "of_map")
    ):  # fmt: skip
        options = replace(exact.method, samples=count, tolerance=1e-3, step_size=1e-3)
        found = Pilot.run(
            problem, map, options, wgf.Stages("none"), LocalCommunicator(), every=0.02
        )
        assert getattr(found, part) > 0.6
        assert found.of_time + found.of_samples + found.of_map == pytest.approx(1)


def chosen(monkeypatch, errors, stages=None, **parts):
    """What is chosen where pilots find these errors one after another."""
    shares = {"of_time": 0.0, "of_samples": 0.0, "of_map": 0.0, **parts}
    found = iter([Pilot(error, **shares, stages=3) for error in errors])
    tried = []

    def run(problem, map, options, in_stages, communicator, **_):
        tried.append((options, in_stages))
        return next(found)

    monkeypatch.setattr(Pilot, "run", run)
    spec = wgf.load_problem("styblinski-tang-2d")
    options = replace(spec.method, accuracy=1e-3)
    result = choose(
        spec.problem, spec.map, options, stages or wgf.Stages(), LocalCommunicator(), every=0.1,
        check=lambda _: None, tell=lambda _: None,
    )  # fmt: skip
    return result, tried


def test_what_is_chosen_has_been_tried(monkeypatch):
    """Also where no pilot reaches the accuracy: its estimate is that of its own settings."""
    errors = [0.1, 0.08, 0.06, 0.04, 0.03, 0.02]
    result, tried = chosen(monkeypatch, errors, of_time=1.0)
    assert (result.estimate, result.pilots) == (0.02, 6)
    assert result.tolerance == tried[5][0].tolerance < tried[4][0].tolerance
    assert "steps are too long" in result.note


def test_stages_are_refined_from_those_that_are_given(monkeypatch):
    given = wgf.Stages("auto", deformation=0.2)
    result, tried = chosen(monkeypatch, [0.1, 5e-4], given, of_map=1.0)
    assert [stages.deformation for _, stages in tried] == [0.2, 0.1]
    assert result.deformation == 0.1
    assert result.note == ""


def test_where_every_pilot_fails_the_run_does_not_begin(monkeypatch):
    failing = {"of_time": 1 / 3, "of_samples": 1 / 3, "of_map": 1 / 3, "failure": "it folds"}
    with pytest.raises(wgf.RunError, match="no pilot run.*it folds"):
        chosen(monkeypatch, [float("inf")] * 6, **failing)


def test_pilots_stop_on_request():
    spec = wgf.load_problem("ou-2d-aniso", "method.accuracy=1e-2")
    with pytest.raises(StoppedEarly, match="nothing is stored"):
        wgf.solve(*spec, stop=lambda: True)


def test_without_estimate_and_bound_an_accuracy_is_refused():
    class Own(wgf.PowerLaw):
        def convexity(self):
            return None

    energy = [wgf.PotentialEnergy(wgf.Rosenbrock()), wgf.InteractionEnergy(Own(4.0, 2.0))]
    problem = wgf.Problem(energy, wgf.Gaussian(2), until=0.01)
    method = wgf.PWGFOptions(accuracy=1e-2, samples=200, step_size=1e-3)
    with pytest.raises(wgf.InputError, match=r"neither is known.*problem\.convexity"):
        wgf.solve(problem, wgf.Affine(2), method)
