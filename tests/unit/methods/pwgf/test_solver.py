"""The solve of (Ĝ + εI) η = −∇F within the method, and what it leaves to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bound import judge_of, state_at
from oracles import dense_jacobian, perturb

import hpc_wgf as wgf
from hpc_wgf.choices import Form, Preconditioning, Solver
from hpc_wgf.errors import StepFailed
from hpc_wgf.integrators import SCHEMES
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.methods.pwgf.solver import MetricSolver
from hpc_wgf.methods.pwgf.solver_memory import Memory
from hpc_wgf.parallel import LocalCommunicator

WELLS = wgf.Problem(
    [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)], wgf.Gaussian(2), 1.0
)
KINDS = [kind for kind in Preconditioning if kind is not Preconditioning.AUTOMATIC]


def method(problem=WELLS, map=None, **options) -> PWGF:
    map = map or perturb(wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 6)), 0.2)
    options = {"samples": 300, "rtol": 1e-8, "shift": 1e-5} | options
    return PWGF.on(problem, map, wgf.PWGFOptions(**options), LocalCommunicator())


@pytest.mark.parametrize("solver", [Solver.MINRES, Solver.LSMR])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_leads_to_the_shifted_solution(kind, solver):
    """(Ĝ + εI) η = −∇F by dense algebra, ε = shift ‖Ĝ‖; the norm is an estimate, so that η is
    compared for the ε that was used."""
    runner = method(preconditioner=kind, solver=solver)
    state = runner.start()
    velocity = runner.evaluate(state.map, runner.samples(runner.start().map, 0))
    system = runner.system(state.map, runner.samples(runner.start().map, 0))
    z = torch.cat(system.points)
    J = dense_jacobian(runner.setting.map, z).reshape(-1, len(state.theta))
    gram = J.T @ J / len(z)
    norm = float(torch.linalg.eigvalsh(gram)[-1])
    residual = system.b - gram @ velocity.eta
    epsilon = float(residual @ velocity.eta / (velocity.eta @ velocity.eta))
    assert 0.4 < epsilon / (1e-5 * norm) < 1.2
    expected = torch.linalg.solve(gram + epsilon * torch.eye(len(gram)), system.b)
    assert float((velocity.eta - expected).norm() / expected.norm()) < 1e-4
    assert velocity.converged


def test_the_shift_follows_the_tolerance():
    """Left to itself ε is rtol/100 of the largest eigenvalue, and 0 without a preconditioner."""
    runner = method(shift=None, rtol=1e-4)
    velocity = runner.evaluate(runner.start().map, runner.samples(runner.start().map, 0))
    assert velocity.shift == pytest.approx(1e-6)
    assert method(shift=None, preconditioner="none").preconditioner == "none"


def test_the_energy_form_is_solved_plainly_unless_asked():
    assert method(form=Form.ENERGY).preconditioner is Preconditioning.NONE
    assert method(form=Form.ENERGY, preconditioner=Preconditioning.DENSE).preconditioner == "dense"


def test_a_preconditioner_is_kept_until_it_costs_more_than_a_new_one():
    built, origin = object(), object()
    memory = Memory(origin, built, lambda v: v, 1e-6, 1e-6)
    assert not memory.worn_out(5.0)
    memory = memory.after(6)  # the first solve sets the measure
    assert memory.first_count == 6
    memory = memory.after(9)
    assert memory.extra_total == 3
    assert not memory.worn_out(5.0)
    memory = memory.after(9)
    assert memory.extra_total == 6
    assert memory.worn_out(5.0)
    # one that wore out at its second use is replaced before it
    assert (
        replace(Memory(origin, built, lambda v: v, 1e-6, 1e-6), second_extra=8)
        .after(6)
        .worn_out(5.0)
    )


def test_a_solve_that_an_old_preconditioner_makes_long_is_begun_again():
    """The preconditioner of another map at hand: products stay within what it may cost."""
    runner = method(map=wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 60)), samples=4000)
    first = runner.velocity_at(runner.start())
    turned = perturb(wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 60)), 0.5, seed=3).get_theta()
    state = state_at(runner, turned, step_size=0.01)
    fresh = runner.velocity_at(state)
    system = runner.system(state.map, runner.samples(runner.start().map, 0))
    again = runner._velocities.solver.solve(runner.setting.map, system, first.memory, None)
    assert again.stats.converged
    patience = first.memory.first_count + 2 + int(first.memory.cost(system))
    assert fresh.products < again.stats.products <= fresh.products + patience
    assert again.memory.built is not first.memory.built


@pytest.mark.parametrize("kind", [Preconditioning.NONE, Preconditioning.DENSE])
def test_only_a_preconditioned_solve_begins_at_what_is_known(kind):
    """One without leads to the η of least norm, which it does from 0 alone."""
    runner = method(preconditioner=kind, rtol=1e-6)
    state = runner.start()
    system, map = runner.system(state.map, runner.samples(state.map, 0)), runner.setting.map
    solver = runner._velocities.solver
    eta, stats, memory = solver.solve(map, system, None, None)
    again = solver.solve(map, system, memory, None, eta)
    assert torch.equal(again.eta, eta)
    assert again.stats.products == (1 if kind is Preconditioning.DENSE else stats.products)


def test_later_stages_take_fewer_products_than_alone(monkeypatch):
    """The shorter a step, the nearer are their velocities to that of the first."""
    runner = method(samples=1000, rtol=1e-4, scheme="rk4", preconditioner="kronecker")
    entered = runner.enter(runner.start())
    found = runner.advance(entered, 0.001)
    solve = MetricSolver.solve
    monkeypatch.setattr(MetricSolver, "solve", lambda *given: solve(*given[:5], None))
    alone = runner.advance(entered, 0.001)
    assert found.figures["products"] < 0.8 * alone.figures["products"]
    assert found.figures["residual"] <= 1e-4


def test_rounding_does_not_grow_from_stage_to_stage():
    """With few samples η is at the mercy of directions that hardly move one."""
    found = []
    for nudge in (0.0, 1e-13):
        map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 16))
        problem = wgf.Problem(
            [wgf.PotentialEnergy(wgf.Quadratic(2, 3.0, 0.25)), wgf.Entropy(1.0)],
            wgf.Gaussian(2),
            0.1,
        )
        runner = method(problem, map, samples=400, rtol=1e-5, shift=None, scheme="rk4")
        state = runner.enter(runner.start())
        for _ in range(3):
            theta = runner.advance(state, 0.03).map.theta * (1.0 + nudge)
            state = runner.enter(state_at(runner, theta, step_size=0.03))
        found.append(state.map.theta)
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 1e-7


def test_memory_ends_at_a_stored_time():
    """A run resumed at a row finds none, and must go on as the undisturbed one does."""
    seen = []

    class Watching(PWGF):
        def velocity_at(self, state):
            seen.append((round(state.time, 6), state.memory is None))
            return super().velocity_at(state)

    from hpc_wgf.run.loop import Loop
    from hpc_wgf.run.schedule import Schedule

    ranks = LocalCommunicator()
    runner = Watching.on(WELLS, wgf.Affine(2), wgf.PWGFOptions(200, 1e-6, "heun", 0.05), ranks)
    Loop(runner, judge_of(runner), ranks, Schedule(0.0, 0.3, 0.15), []).run()
    assert seen == [
        (0.0, True), (0.05, False), (0.1, False), (0.15, True), (0.2, False), (0.25, False),
        (0.3, True),
    ]  # fmt: skip


def loose_ends(**options):
    """Units of a block flow that hardly move a sample leave η at the mercy of tiny eigenvalues."""
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 12, spread=2.0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        map.parts[1].U.copy_(1e-5 * torch.randn(2, 12, generator=generator, dtype=torch.float64))
    return method(WELLS, map, samples=500, rtol=1e-8, step_size=0.01, **options)


def test_a_larger_shift_tames_a_step_that_is_far_from_linear(monkeypatch):
    """The shifted system with ε = 10⁻¹⁴‖Ĝ‖ is solved well, and ruins the step; the watch raises ε
    until the step is nearly linear and the samples move as the force says."""
    import hpc_wgf.methods.pwgf.velocity as module

    runner = loose_ends(shift=1e-14)
    tamed = runner.velocity_at(runner.start())
    monkeypatch.setattr(module, "_MOST_NONLINEAR", float("inf"))
    runner = loose_ends(shift=1e-14)
    wild = runner.velocity_at(runner.start())
    assert wild.nonlinearity > 0.5 > tamed.nonlinearity
    assert tamed.shift > wild.shift == 1e-14
    assert float(tamed.eta.norm()) < 0.3 * float(wild.eta.norm())
    assert tamed.context.misfit < 0.05 * wild.context.misfit
    assert tamed.context.misfit < 0.05 * tamed.force_square
    assert tamed.products > wild.products


def test_a_step_too_long_for_the_flow_is_not_hidden_by_the_shift():
    """Where every shift that is large enough would leave the force over, the step fails; a shorter
    one gets a velocity of its own, with the small shift."""
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.StyblinskiTang(1.0)), wgf.Entropy(1.0)], wgf.Gaussian(1), 0.1
    )
    map = wgf.Composition(wgf.Affine(1), wgf.BlockFlow(1, 8, spread=3.0))
    runner = method(problem, map, samples=1000, rtol=1e-4, shift=None, step_size=0.1)
    state = runner.start()
    velocity = runner.velocity_at(state)
    assert velocity.shift > 1e-6
    with pytest.raises(StepFailed, match="otherwise than linearly"):
        runner.advance(replace(state, entered=velocity), 0.1)
    result = runner.advance(replace(state, entered=velocity), 1e-5)
    plain = runner.evaluate(state.map, velocity.context.ensemble)
    moved = (result.map.theta - state.theta) / 1e-5
    assert float((moved - plain.eta).norm() / plain.eta.norm()) < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flow_goes_on_at_its_steady_state(dtype):
    """What η moves there is below the last digits of T: the rounding of T was taken for a bending
    of the map, and a linear one was refused for being nonlinear."""
    potential = wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, 0.5))
    problem = wgf.Problem([potential, wgf.Entropy(1.0)], wgf.Gaussian(2, 1.0, 0.5), until=0.1)
    options = wgf.PWGFOptions(samples=500, step_size=0.01, dtype=dtype)
    summary = wgf.solve(problem, wgf.Affine(2), options, wgf.Output(every=0.05)).summary
    assert summary.steps == 10
    assert max(summary.map_error) < 100 * torch.finfo(dtype).eps
    assert summary.worst_nonlinearity == 0.0


def test_samples_held_out_end_a_solve_of_the_energy_form_before_it_fits_noise():
    """On many fresh samples the flow is followed better than by a solve to the end."""
    problem = wgf.Problem(wgf.InternalEnergy(2.4), wgf.Barenblatt(2, 2.4, 0.1), 0.2, start_time=0.1)
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 16, spread=1.0))
    judge = method(problem, map, samples=20_000, form=Form.FORCE)
    sample = judge.samples(judge.start().map, 7)
    system = judge.system(judge.start().map, sample)
    left = {}
    for validation in (None, 0.5):
        runner = method(
            problem, map, samples=400, form=Form.ENERGY, rtol=1e-7, shift=0.0, validation=validation
        )
        velocity = runner.velocity_at(runner.start())
        moved = [
            J.jvp(velocity.eta) + f for J, f in zip(system.gram.chunks, system.forces, strict=True)
        ]
        left[validation] = float(torch.cat(moved).square().sum())
    assert left[0.5] < 0.5 * left[None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": Solver.LSMR, "form": Form.ENERGY}, "solver lsmr needs .*use method.form"),
        (
            {"solver": Solver.LSMR, "validation": 0.5},
            "end solves by minres only",
        ),
        (
            {"preconditioner": "jacobi"},
            "preconditioner = 'jacobi': expected one of 'automatic', 'none', 'dense'",
        ),
        ({"shift": 1.0}, "shift = 1.0: expected less than 1"),
        ({"shift": -0.1}, "shift = -0.1: expected at least 0"),
        ({"cache_gib": 0.0}, "cache_gib = 0.0: expected more than 0"),
        ({"validation": 0.0}, "validation = 0.0: expected more than 0"),
        ({"validation": 0.001}, "gives 4, which tell nothing of a solve: give at least 32"),
        ({"scheme": "euler", "tolerance": 1e-3}, "use one of heun, .*rkc2"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(wgf.InputError, match=message):
        wgf.PWGFOptions(**options)


def test_the_memory_budget_changes_nothing_but_memory():
    """What does not fit is computed anew in every product, to the same bits."""
    wide, narrow = method(), method(cache_gib=1e-9)
    slopes = [runner.velocity_at(runner.start()) for runner in (wide, narrow)]
    kept = [
        sum(
            J.nbytes
            for J in runner.system(
                runner.start().map, runner.samples(runner.start().map, 0)
            ).gram.chunks
        )
        for runner in (wide, narrow)
    ]
    assert kept[0] > 0
    assert kept[1] == 0
    assert torch.equal(slopes[0].eta, slopes[1].eta)


@pytest.mark.parametrize("tolerance", [None, 3e-3])
def test_the_stabilised_scheme_carries_a_flow(tolerance):
    """Ornstein–Uhlenbeck with a stiff mode that has almost come to rest: at rate 60 steps of 0.1
    are three times as long as Heun's scheme bears."""
    quadratic = wgf.Quadratic(2, [1.0, 0.0], [[1.0, 0.0], [0.0, 1 / 60]])
    start = wgf.Gaussian(2, [0.0, 0.0], [[1.0, 0.0], [0.0, 1.02 / 60]])
    problem = wgf.Problem([wgf.PotentialEnergy(quadratic), wgf.Entropy(1.0)], start, 0.5)
    options = wgf.PWGFOptions(500, 1e-8, "rkc2", 0.1, tolerance)
    summary = wgf.solve(problem, wgf.Affine(2), options, wgf.Output(every=0.5)).summary
    assert summary.map_error_relative[-1] < 0.02
    if tolerance is None:
        assert summary.steps == 5
        heun = replace(options, scheme="heun")
        with pytest.raises(wgf.RunError, match="folded"):
            wgf.solve(problem, wgf.Affine(2), heun, wgf.Output(every=0.5))


def test_schemes_by_name():
    assert set(SCHEMES) == {"euler", "heun", "kutta32", "bosh32", "rk4", "rkc2", "ros2"}
    assert all(name == scheme.name for name, scheme in SCHEMES.items())
    assert {n: s.error_order for n, s in SCHEMES.items() if s.error_order} == {
        "heun": 2, "kutta32": 3, "bosh32": 3, "rkc2": 3, "ros2": 2,
    }  # fmt: skip
