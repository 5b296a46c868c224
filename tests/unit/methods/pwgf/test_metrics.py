"""The metrics of gradients and the flat one, and the weak form, in PWGF."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf import InputError, PWGFOptions
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator


def quadratic(**flow):
    energy = wgf.PotentialEnergy(wgf.Quadratic(3, [1.0, 2, 0], [1.0, 0.25, 0.5]))
    return wgf.Problem([energy, wgf.Entropy(1.0)], wgf.Gaussian(3), **({"until": 0.1} | flow))


WIND = wgf.LinearDrift(3, matrix=[[0, -1, 0], [1, 0, 0], [0, 0, 0]])
OU = quadratic()
LINE = wgf.Problem(
    [wgf.PotentialEnergy(wgf.DoubleWell(1)), wgf.Entropy(0.5)], wgf.Gaussian(1, 0.3), 0.1
)
BOX = wgf.Problem([wgf.InternalEnergy(3.0)], wgf.Box(1), 0.1)


def rich(d=3):
    return wgf.Composition(wgf.Affine(d), wgf.BlockFlow(d, 6))


def at_work(problem, map, size=0.05, **options):
    """The method, and a state that it has entered, away from the start by noise of some size."""
    given = PWGFOptions(**({"samples": 800} | options))
    runner = PWGF.on(problem, map, given, LocalCommunicator())
    state = runner.start()
    noise = torch.randn(len(state.theta), generator=torch.Generator().manual_seed(3))
    state = replace(state, map=state.map.moved(state.theta + size * noise))
    return runner, runner.enter(state)


def entered(problem, map, **options):
    """The velocity at such a state."""
    return at_work(problem, map, **options)[1].entered


def system_at(runner, state):
    """The normal equations there."""
    return runner.system(state.map, runner.samples(state.map, state.step))


@pytest.mark.parametrize("map", [wgf.Affine(3), rich()], ids=["direct", "minres"])
def test_epsilon_1_is_the_pullback_metric_to_rounding(map):
    plain, same = (
        entered(OU, map, rtol=1e-9, **options)
        for options in ({}, {"metric": "gradient", "epsilon": 1.0})
    )
    assert torch.allclose(plain.eta, same.eta, rtol=1e-6, atol=1e-8 * float(plain.eta.norm()))
    assert same.projection_error == pytest.approx(plain.projection_error, rel=1e-9, abs=1e-15)
    assert same.energy_rate == pytest.approx(plain.energy_rate, rel=1e-6)


def test_eta_solves_the_system_written_out():
    """G_ε η = −JᵀΠ_ε f/n by dense matrices, with the force and drift of a flow; and dF/dt is
    E[f·Jη]."""
    turning = quadratic(drift=WIND)
    runner, state = at_work(turning, rich(), rtol=1e-8, metric="gradient", shift=1e-12)
    found, system = state.entered, system_at(runner, state)
    eye = torch.eye(len(state.theta))
    J = torch.cat([torch.stack([c.jvp(e) for e in eye], 2) for c in system.gram.chunks])
    x, f = torch.cat(list(system.images)), torch.cat(system.forces)
    basis = system.projection.basis
    B = (basis.derivatives(x)[0][:, :, None] * basis.directions).permute(0, 2, 1)
    rows, n = B.reshape(-1, basis.count), len(x)
    norm = torch.linalg.matrix_norm(rows.T @ rows)
    inverse = torch.linalg.inv(rows.T @ rows + 1e-10 * norm * torch.eye(basis.count))
    flat = J.reshape(3 * n, -1)
    blend = 0.9 * rows @ (inverse @ (rows.T @ torch.cat([flat, f.reshape(-1, 1)], 1)))
    blend += 0.1 * torch.cat([flat, f.reshape(-1, 1)], 1)
    G, b = flat.T @ blend[:, :-1] / n, -flat.T @ blend[:, -1] / n
    assert torch.allclose(b, system.b, rtol=1e-8, atol=1e-9 * float(b.norm()))
    left = G @ found.eta - b
    assert float(left.norm()) < 1e-6 * float(b.norm())
    moved = J @ found.eta
    force = torch.cat([motion.force.total for motion in system.motions])
    assert found.energy_rate == pytest.approx(float((force * moved).sum() / n), rel=1e-9)
    residual = (moved + f).reshape(-1)
    gradient = float((rows.T @ residual) @ inverse @ (rows.T @ residual)) / n
    assert found.gradient_error == pytest.approx(gradient, rel=1e-6)
    assert found.gradient_error < found.projection_error


def test_a_poor_map_follows_more_of_the_density_in_the_metric_of_gradients():
    """δ_G is less than by Ĝ, which least δ costs, and the other way round."""
    map = wgf.PlanarFlow(3, 2, spread=1.0)
    plain = entered(OU, map, gradient_error=True, shift=1e-8)
    projected = entered(OU, map, metric="gradient", epsilon=0.01, shift=1e-8)
    assert projected.gradient_error < plain.gradient_error
    assert plain.projection_error < projected.projection_error
    assert plain.gradient_error < plain.projection_error


@pytest.mark.parametrize("map", [wgf.Affine(1), rich(1)], ids=["affine", "block"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_on_the_line_every_field_is_a_gradient(map, epsilon):
    plain = entered(LINE, map, gradient_error=True)
    same = entered(LINE, map, metric="gradient", epsilon=epsilon)
    assert torch.equal(plain.eta, same.eta)
    assert same.gradient_error == plain.gradient_error == plain.projection_error


def test_the_flat_gradient_is_the_right_hand_side():
    runner, state = at_work(OU, rich(), metric="flat")
    b, found = system_at(runner, state).b, state.entered
    assert torch.equal(found.eta, b)
    assert found.products == 0
    assert found.energy_rate == pytest.approx(-float(b @ b))


def test_a_flat_run_goes_down_and_lags_behind():
    """[PFPE Fig. 16]: the energy falls, and the mean goes another way than that of the flow."""
    flows = {
        metric: wgf.solve(
            quadratic(until=0.1), wgf.PlanarFlow(3, 6, spread=1.5),
            PWGFOptions(samples=300, step_size=0.02, metric=metric),
            wgf.Output(every=0.05, bound=False),
        ).summary
        for metric in ("flat", "pullback")
    }  # fmt: skip
    assert list(flows["flat"].energy) == sorted(flows["flat"].energy, reverse=True)
    wrong = {metric: flow.map_error_relative[-1] for metric, flow in flows.items()}
    assert wrong["flat"] > 2 * wrong["pullback"]


def test_the_weak_force_of_a_gaussian_has_the_moments_of_its_force():
    """E[f·∇φ_k] = −E[(p/ρ)Δφ_k] at N(0, I): of coordinates 0, of squares −β, and for ρ² by
    quadrature; many samples, to six standard errors."""
    for energy in (wgf.Entropy(0.7), wgf.InternalEnergy(2.0, 20.0)):
        problem = wgf.Problem([energy], wgf.Gaussian(3), 0.1)
        options = {"samples": 20_000, "form": "weak", "functions": 9}
        runner, state = at_work(problem, wgf.Affine(3), 0.0, **options)
        system, chunks = system_at(runner, state), runner.samples(state.map, 0).chunks
        projection, force = system.projection, [energy.force(cloud) for cloud in chunks]
        weak = projection.moments([motion.force.total for motion in system.motions])
        strong, basis = projection.moments(force), projection.basis
        slopes = basis.derivatives(torch.cat(list(system.images)))[0]
        noise = (torch.cat(force) @ basis.directions.T * slopes).std(0) / 20_000**0.5
        assert bool(((weak - strong).abs() < 6 * noise + 1e-9).all())
        assert float(strong[3:].abs().max()) > 20 * float(noise.max())


def test_a_plain_box_moves_by_the_weak_form_as_long_as_it_has_none_by_the_force():
    """d/dt E|x|² = 2E[(p/ρ)]: 2·(1/4) for ρ = 1/2, m = 3, at once, where the force is 0."""
    options = {"form": "weak", "samples": 4000, "functions": 16}
    runner, state = at_work(BOX, wgf.Affine(1), 0.0, **options)
    system = system_at(runner, state)
    moved = torch.cat([c.jvp(state.entered.eta) for c in system.gram.chunks])
    x = torch.cat(list(system.images))
    assert 2 * float((x * moved).mean()) == pytest.approx(0.5, abs=2e-5)
    assert state.entered.gradient_error >= 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "gradient", "form": "energy"}, "projects the force"),
        ({"metric": "gradient", "solver": "lsmr"}, "solver lsmr"),
        ({"metric": "gradient", "scheme": "ros2"}, "scheme ros2"),
        ({"metric": "flat", "solver": "minres"}, "solves no system"),
        ({"metric": "flat", "accuracy": 1e-2}, "method.accuracy"),
        ({"functions": 30}, "leave method.functions out"),
        ({"metric": "gradient", "epsilon": 1.5}, "epsilon"),
        ({"metric": "steepest"}, "gradient"),
    ],
)
def test_options_that_do_not_go_together(options, said):
    with pytest.raises(InputError, match=said):
        PWGFOptions(**options)


@pytest.mark.parametrize(
    ("problem", "options", "said"),
    [
        (quadratic(mobility=wgf.CovarianceMobility()), {"metric": "gradient"}, "mobility P = I"),
        (quadratic(mobility=wgf.CovarianceMobility()), {"form": "weak"}, "mobility P = I"),
        (quadratic(drift=WIND), {"metric": "flat"}, "drift"),
        (OU, {"metric": "gradient", "functions": 5}, "from 6"),
        (OU, {"metric": "gradient", "functions": 500, "samples": 300}, "to 450"),
        (
            wgf.Problem([wgf.FermiEntropy(1.0, 9.0)], wgf.Gaussian(3), 0.1),
            {"form": "weak"}, "none of FermiEntropy",
        ),
    ],
)  # fmt: skip
def test_problems_for_which_they_are_not_known(problem, options, said):
    with pytest.raises(InputError, match=said):
        PWGF.on(problem, wgf.Affine(3), PWGFOptions(**options), LocalCommunicator())


def test_a_jump_names_the_weak_form_and_a_needless_one_is_told():
    with pytest.raises(InputError, match='form = "weak"'):
        PWGF.on(BOX, wgf.Affine(1), PWGFOptions(), LocalCommunicator())
    for problem, told in ((BOX, 0), (OU, 1)):
        map = wgf.Affine(problem.dimension)
        runner = PWGF.on(problem, map, PWGFOptions(form="weak"), LocalCommunicator())
        assert len(runner.warnings()) == told


@pytest.mark.parametrize("options", [{"metric": "gradient"}, {"form": "weak", "tolerance": 0.2}])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, options):
    """Past a stored row; and not in another metric."""
    given = PWGFOptions(samples=200, step_size=0.02, **options)

    def run(name, until, method=given, *, resume=False):
        output = wgf.Output(tmp_path / name, every=0.04, bound=False)
        return wgf.solve(quadratic(until=until), wgf.BlockFlow(3, 4), method, output, resume=resume)

    run("whole", 0.08)
    run("torn", 0.04)
    run("torn", 0.08, resume=True)
    whole, torn = (wgf.open_run(tmp_path / name).column("theta") for name in ("whole", "torn"))
    assert np.array_equal(whole, torn)
    with pytest.raises(InputError, match="metric|functions"):
        run("torn", 0.12, replace(given, metric="gradient", functions=30), resume=True)


def test_samples_alone_are_moved_by_the_weak_form():
    """Entropy has moments without a density: the velocity is that of the force where the density is
    told, to the noise of 2000 samples."""
    rows = wgf.Gaussian(3).sample(np.random.default_rng(0), 8000)
    energy = [wgf.PotentialEnergy(wgf.Quadratic(3, 1.0, 0.5)), wgf.Entropy(1.0)]
    etas = [
        at_work(wgf.Problem(energy, start, 0.1), wgf.Affine(3), 0.0, samples=2000, form=form)[1]
        for start, form in ((wgf.SampleStart(rows), "weak"), (wgf.Gaussian(3), "force"))
    ]
    weak, force = (state.entered.eta for state in etas)
    assert float((weak - force).norm()) < 0.1 * float(force.norm())
