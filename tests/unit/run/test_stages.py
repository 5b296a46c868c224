"""Maps frozen at stored times: the state, the store, the judge, and going on across the switch."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from bound import judge_of
from staged import OPTIONS, PROBLEM, RULE, TIMES, FreezeAt, solve
from stores import assert_same

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.maps import Composition, MapState, ModuleMap, Stage, carry, described, rebuilt
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.pushed.stored_maps import map_of_row


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("staged") / "whole"
    torch.set_default_dtype(torch.float64)  # as in a test; a fixture of a module comes before it
    return solve(path), wgf.open_run(path)


def perturbed(map, seed=0):
    generator = torch.Generator().manual_seed(seed)
    theta = map.double().get_theta()
    return theta + 0.2 * torch.randn(len(theta), generator=generator, dtype=torch.float64)


def test_displacement_is_that_of_the_whole_chain():
    """(E|T(z) − z|²)^½ from the start density on, not from the images where the stage began."""
    runner = PWGF.on(PROBLEM, wgf.BlockFlow(2, 5), OPTIONS, LocalCommunicator())
    judge, start = judge_of(runner), runner.start().map
    assert judge.look(start).displacement == 0.0
    moved = start.moved(perturbed(start.map))
    stacked = moved.stacked(wgf.BlockFlow(2, 3).double())
    further = stacked.moved(perturbed(stacked.map, 1))
    z = judge.evaluation.z
    for state in (moved, stacked, further):
        expected = (state(z) - z).square().sum(1).mean().sqrt()
        assert judge.look(state).displacement == pytest.approx(float(expected), rel=1e-12)
    assert judge.look(stacked).displacement == judge.look(moved).displacement
    assert judge.look(further).displacement != judge.look(moved).displacement


def test_a_chain_carries_density_and_score_as_one_map_does():
    """log ρ and ∇ log ρ behind T = S₂ ∘ S₁, against autograd of the whole chain."""
    first, second = wgf.BlockFlow(2, 5), wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 3))
    state = MapState((Stage.freeze(first, perturbed(first)),), second, perturbed(second, 1))
    start = wgf.Gaussian(2, [0.5, -1.0], [[1.0, 0.3], [0.3, 0.6]])
    z = torch.randn(20, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    cloud = state.carry(Cloud(z, start.log_density(z), start.score(z)))
    assert torch.equal(cloud.x, state(z))
    jacobians = torch.stack([
        torch.autograd.functional.jacobian(lambda p: chain(state, p[None])[0], point) for point in z
    ])  # fmt: skip
    expected = start.log_density(z) - torch.linalg.slogdet(jacobians)[1]
    assert torch.allclose(cloud.log_density, expected, atol=1e-12)

    def log_density_of(point):
        J = torch.autograd.functional.jacobian(
            lambda p: chain(state, p[None])[0], point, create_graph=True
        )
        return start.log_density(point[None])[0] - torch.linalg.slogdet(J)[1]

    for k in range(3):
        slope = torch.autograd.functional.jacobian(log_density_of, z[k])
        score = torch.linalg.solve(jacobians[k].T, slope)
        assert torch.allclose(cloud.score[k], score, atol=1e-9)


def chain(state, z):
    for stage in state.stages:
        z = stage.map(z)
    return state.active()(z)


def test_frozen_stages_do_not_move():
    map = wgf.BlockFlow(2, 4)
    theta = perturbed(map)
    stage = Stage.freeze(map, theta)
    map.set_theta(torch.zeros_like(theta))
    assert torch.equal(stage.map.get_theta(), theta)
    assert not any(value.requires_grad for value in stage.map.parameters())
    cloud = Cloud(*(torch.randn(5, 2, dtype=torch.float64) for _ in range(3)))
    cloud = replace(cloud, log_density=cloud.x[:, 0])
    (carried,) = carry([stage], [cloud])
    assert torch.equal(carried.x, map.at(theta)(cloud.x))
    assert carried.positive is not None


def test_every_built_in_map_is_made_again_from_its_description():
    for map in (
        wgf.Affine(3), wgf.PlanarFlow(3, 4), wgf.BlockFlow(3, 5),
        wgf.ResidualPerceptron(3, (4, 6)),
        wgf.Composition(wgf.Affine(3), wgf.BlockFlow(3, 2), wgf.PlanarFlow(3, 1)),
    ):  # fmt: skip
        theta, z = perturbed(map), torch.randn(6, 3, dtype=torch.float64)
        again = rebuilt(described(map)).double()
        assert torch.equal(again.at(theta)(z), map.at(theta)(z))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "spiral"}', "kind 'spiral' cannot be made"),
        ('{"kind": "block", "dimension": 2}', "is damaged .KeyError"),
        ("[1", "is damaged"),
        (json.dumps({"kind": "user", "words": "Net()"}), "give the map itself"),
    ],
)
def test_a_description_that_makes_no_map_is_refused_in_one_line(text, message):
    with pytest.raises(wgf.InputError, match=message) as caught:
        rebuilt(text)
    assert "\n" not in str(caught.value)


def test_the_store_holds_stages_once_and_parameters_padded(whole):
    solution, run = whole
    assert run.column("stage").tolist() == [0, 0, 1, 1, 2, 2]
    sizes = [stage.parameters for stage in run.stages]
    assert sizes == [6 + 40, 6 + 25, 45]
    assert [stage.begins for stage in run.stages] == [0.0, *TIMES]
    assert [stage.row for stage in run.stages] == [0, 1, 3]
    theta, velocity = run.column("theta"), run.column("velocity")
    for row, stage in enumerate(run.column("stage")):
        for values in (theta, velocity):
            assert np.isfinite(values[row, : sizes[stage]]).all()
            assert np.isnan(values[row, sizes[stage] :]).all()
    assert len(solution.state.stages) == 2
    assert solution.state.map.parameter_count() == 45


def test_the_flow_goes_on_as_it_should(whole):
    """The judge looks through the chain: exact map errors, energies, the energy law."""
    summary = whole[0].summary
    assert summary.finished
    assert max(summary.map_error_relative[1:]) < 0.06
    assert summary.map_error_relative[-1] < 0.02
    law = summary.energy_law
    assert law.whole.gap < 0.05
    assert law.rise == 0.0


def test_the_solution_pushes_new_samples_through_all_stages(whole):
    solution, run = whole
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    exact = PROBLEM.exact(0.25, z)
    error = (solution.state(z) - exact).square().mean().sqrt()
    assert float(error / (exact - z).square().mean().sqrt()) < 0.03


@pytest.mark.parametrize("until", [0.05, 0.1, 0.15, 0.2])
def test_a_run_that_ends_at_or_between_switches_is_resumed_to_the_bit(tmp_path, whole, until):
    """At a switch the new stage is stored with the row: it is not decided again."""
    solve(tmp_path / "parts", until)
    parts = wgf.open_run(tmp_path / "parts")
    assert len(parts.stages) == 1 + sum(time <= until for time in TIMES)
    solve(tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), whole[1])


@pytest.mark.parametrize("steps", [1, 5, 9, 13])
def test_a_run_stopped_between_rows_is_resumed_to_the_bit(tmp_path, whole, steps):
    taken = []

    def stop() -> bool:
        taken.append(None)
        return len(taken) == steps

    solve(tmp_path / "parts", stop=stop)
    solve(tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), whole[1])


def test_a_map_that_is_not_the_identity_does_not_go_on(tmp_path):
    class Wrong(FreezeAt):
        def next_map(self, state):
            map = super().next_map(state)
            return map.at(torch.ones(map.parameter_count()))

    with pytest.raises(wgf.InputError, match="not the identity"):
        wgf.solve(
            PROBLEM, wgf.Affine(2), OPTIONS, wgf.Output(tmp_path / "run", every=0.05),
            stages=Wrong(),
        )  # fmt: skip
    assert wgf.open_run(tmp_path / "run").rows == 1


class Halved(wgf.BlockFlow):
    """A user's map that inherits from a built-in one."""

    def forward(self, z):
        return z + 0.5 * (super().forward(z) - z)


@pytest.mark.parametrize(
    "map",
    [
        ModuleMap(2, torch.nn.Linear(2, 2, dtype=torch.float64), anchored=True), Halved(2, 3),
        Composition(wgf.Affine(2), Halved(2, 3)),
    ],
    ids=["module", "subclass", "subclass inside"],
)  # fmt: skip
def test_a_users_map_does_not_begin_a_stage(tmp_path, map):
    """A resumed run could not build it again, or would build its parent in its place."""

    class Users(FreezeAt):
        def next_map(self, state):
            return map

    with pytest.raises(wgf.InputError, match="only the built-in maps") as caught:
        wgf.solve(
            PROBLEM, wgf.Affine(2), OPTIONS, wgf.Output(tmp_path / "run", every=0.05),
            stages=Users(),
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert wgf.open_run(tmp_path / "run").rows == 1


def test_a_users_map_is_described_in_words_and_not_as_its_parent():
    for map in (Halved(2, 3), Composition(wgf.Affine(2), Halved(2, 3))):
        with pytest.raises(wgf.InputError, match="give the map itself") as caught:
            rebuilt(described(map))
        assert "damaged" not in str(caught.value)


@pytest.fixture(scope="module")
def by_rule(tmp_path_factory):
    path = tmp_path_factory.mktemp("by rule") / "whole"
    torch.set_default_dtype(torch.float64)
    return solve(path, odd="rule"), wgf.open_run(path)


def test_the_rule_ends_stages_where_maps_deform_or_last_long(by_rule):
    """Every stage but the last ended at a step after which its map deformed by more than was
    asked for, or at 1.5 times the time where it began."""
    _, stored = by_rule
    times = stored.column("time")
    begun = [float(times[stage.row]) for stage in stored.stages]
    assert len(begun) >= 3
    assert begun == sorted(set(begun))
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((4000, 2)))
    for number, (start, end) in enumerate(pairwise(begun)):
        state = map_of_row(stored, wgf.AxisSpline(2, 8), stored.stages[number + 1].row)
        assert len(state.stages) == number
        grown = start > 0 and end >= 1.5 * start
        assert grown or deformation(state, z) > 0.9 * RULE.deformation


def deformation(state, z):
    """(E|∇S − I|²/d)^½ of the active map, whose gradient is diagonal, by differences."""
    active = MapState((), state.map, state.theta)
    for stage in state.stages:
        z = stage.map(z)
    slopes = (active(z + 1e-6) - active(z - 1e-6)) / 2e-6
    return float((slopes - 1).square().mean().sqrt())


def test_stages_by_rule_are_resumed_to_the_bit(tmp_path, by_rule):
    taken = []

    def stop() -> bool:
        taken.append(None)
        return len(taken) == by_rule[1].steps - 1

    solve(tmp_path / "parts", odd="rule", stop=stop)
    assert len(wgf.open_run(tmp_path / "parts").stages) >= 2
    solve(tmp_path / "parts", odd="rule", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), by_rule[1])


def test_stages_at_given_times(tmp_path):
    stages = wgf.Stages([0.03, 0.1])
    output = wgf.Output(tmp_path / "run", every=0.05)
    solution = wgf.solve(PROBLEM, wgf.AxisSpline(2, 8), OPTIONS, output, stages=stages)
    stored = wgf.open_run(tmp_path / "run")
    assert stored.column("time").tolist() == [0.0, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25]
    assert stored.column("stage").tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert max(solution.summary.map_error_relative) < 1e-2


def test_other_stages_are_another_run(tmp_path):
    output = wgf.Output(tmp_path / "run")
    problem = PROBLEM.replace(until=0.05)
    wgf.solve(problem, wgf.AxisSpline(2, 8), OPTIONS, output, stages=wgf.Stages([0.03]))
    with pytest.raises(wgf.InputError, match="stages: stored .*0.03.* given .*auto"):
        wgf.solve(
            PROBLEM, wgf.AxisSpline(2, 8), OPTIONS, output, resume=True, stages=wgf.Stages("auto")
        )


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ([0.1, 0.1], "rising times"), ([], "rising times"), (["soon"], "rising times"),
        ("always", "rising times"), ([float("nan")], "rising times"), (0.1, "rising times"),
        ([0.0, 0.1], "no stage can begin at t = 0"),
        ([0.1, 0.25], "no stage can begin at t = 0.25"),
    ],
)  # fmt: skip
def test_times_at_which_no_stage_can_begin_are_refused(when, message):
    with pytest.raises(wgf.InputError, match=message):
        wgf.solve(PROBLEM, wgf.Affine(2), OPTIONS, stages=wgf.Stages(when))


def test_the_map_of_a_solution_is_that_of_the_whole_run():
    """Also where stages were frozen."""
    found = wgf.solve(PROBLEM, wgf.AxisSpline(2, 6), OPTIONS, stages=wgf.Stages([0.1]))
    assert len(found.state.stages) == 1
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(found.map(z), found.state(z), rtol=0, atol=1e-14)
    kept = found.state.theta.clone()
    found.map.parts[-1].get_theta().zero_()
    assert torch.equal(found.state.theta, kept)
    alone = wgf.solve(PROBLEM, wgf.AxisSpline(2, 6), OPTIONS, stages=wgf.Stages("none"))
    assert torch.equal(alone.map(z), alone.state(z))


def test_stages_want_a_map_that_can_be_made_again():
    map = ModuleMap(2, torch.nn.Linear(2, 2, dtype=torch.float64), anchored=True)
    with pytest.raises(wgf.InputError, match="only the built-in maps"):
        wgf.solve(PROBLEM, map, OPTIONS, stages=wgf.Stages([0.1]))
    short, strict = PROBLEM.replace(until=0.02), wgf.Stages("auto", deformation=1e-9)
    assert len(wgf.solve(short, map, OPTIONS, stages=strict).state.stages) == 0
    assert len(wgf.solve(short, wgf.BlockFlow(2, 6), OPTIONS, stages=strict).state.stages) > 0


def test_flows_without_density_keep_their_features_unless_asked():
    """A fold is no harm to them."""
    problem = wgf.Problem(
        wgf.PotentialEnergy(wgf.UserPotential(lambda x: ((x**2 - 1) ** 2).sum(1), "wells")),
        wgf.Gaussian(1), until=0.5,
    )  # fmt: skip
    options = wgf.PWGFOptions(samples=400, step_size=0.02, scheme="kutta32", tolerance=0.05)

    def stages(**settings):
        given = wgf.Stages("auto", **settings)
        return len(wgf.solve(problem, wgf.BlockFlow(1, 8), options, stages=given).state.stages)

    assert stages() == 0
    assert stages(deformation=0.3) > 0
