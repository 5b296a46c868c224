"""The method: its gradient, its consistency and its diagnostics, against dense references."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bound import look
from oracles import dense_jacobian, forces_of_all, perturb

import hpc_wgf as wgf
from hpc_wgf import (
    Affine,
    BlockFlow,
    Composition,
    Entropy,
    Form,
    Gaussian,
    InputError,
    PotentialEnergy,
    Problem,
    PWGFOptions,
    Quadratic,
    StyblinskiTang,
)
from hpc_wgf.choices import Preconditioning
from hpc_wgf.cloud import Cloud
from hpc_wgf.errors import StepFailed
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator

PROBLEM = Problem([PotentialEnergy(StyblinskiTang()), Entropy(0.7)], Gaussian(2), until=1.0)


def method(map=None, **options) -> PWGF:
    map = map or perturb(Composition(Affine(2), BlockFlow(2, 5)), 0.2)
    options = {"samples": 200, "rtol": 1e-10, "preconditioner": Preconditioning.NONE} | options
    return PWGF.on(PROBLEM, map, PWGFOptions(**options), LocalCommunicator())


def samples_of(velocity) -> torch.Tensor:
    return torch.cat([chunk.x for chunk in velocity.context.ensemble.chunks])


def dense(runner: PWGF, state) -> tuple[torch.Tensor, torch.Tensor]:
    """J, (n·d, p), and f, (n·d,), at the samples of the state's step."""
    z = samples_of(runner.velocity_at(state))
    J = dense_jacobian(runner.setting.map, z).reshape(-1, runner.setting.map.parameter_count())
    image = runner.setting.map.transport(z, PROBLEM.start.score(z))
    cloud = Cloud(image.x, PROBLEM.start.log_density(z) - image.log_det, image.score)
    return J, forces_of_all(PROBLEM.energy, cloud).total.reshape(-1)


def test_slope_is_the_least_squares_solution():
    """η minimises |Jη + f|²; its diagnostics are those of the dense solution."""
    runner = method()
    state = runner.start()
    J, f = dense(runner, state)
    velocity = runner.velocity_at(state)
    expected = torch.linalg.lstsq(J, -f[:, None], driver="gelsd").solution[:, 0]
    n = runner.options.samples
    assert float((J @ (velocity.eta - expected)).norm() / (J @ expected).norm()) < 1e-6
    residual = float((J @ expected + f).square().sum()) / n
    assert velocity.projection_error == pytest.approx(residual, rel=1e-8)
    assert velocity.force_square == pytest.approx(float(f.square().sum()) / n, rel=1e-12)
    # δ = E|f|² − E|Jη|² for the exact minimiser, and dF/dt = −E|Jη|².
    assert velocity.force_square + velocity.energy_rate == pytest.approx(residual, rel=1e-6)
    assert velocity.residual <= 1e-10


def test_energy_form_is_the_gradient_of_the_sample_mean():
    """−Ĝη in the energy form, against central differences of the mean energy."""
    runner = method(form=Form.ENERGY, rtol=1e-11)
    state = runner.start()
    velocity = runner.velocity_at(state)
    z = samples_of(velocity)
    gradient = -runner.system(state.map, velocity.context.ensemble).b

    def energy(theta):
        runner.setting.map.set_theta(theta)
        x, log_det = runner.setting.map.forward_and_logdet(z)
        log_density = PROBLEM.start.log_density(z) - log_det
        values = PROBLEM.energy.parts[0].integrand(x, log_density)
        values = values + PROBLEM.energy.parts[1].integrand(x, log_density)
        return float(values.detach().mean())

    direction, h = torch.randn_like(state.theta), 1e-5
    difference = (energy(state.theta + h * direction) - energy(state.theta - h * direction)) / (
        2 * h
    )
    assert float(gradient @ direction) == pytest.approx(difference, rel=1e-5)


def test_the_two_forms_agree_in_expectation():
    """They differ by Monte Carlo noise, which falls as n^{−1/2}."""
    gaps = []
    for samples in (500, 50_000):
        grads = {}
        for form in Form:
            runner = method(form=form, samples=samples, rtol=1e-9)
            velocity = runner.velocity_at(runner.start())
            grads[form] = runner.system(runner.start().map, velocity.context.ensemble).b
        gap = grads[Form.ENERGY] - grads[Form.FORCE]
        gaps.append(float(gap.norm() / grads[Form.FORCE].norm()))
    assert gaps[1] < 0.3 * gaps[0]
    assert gaps[1] < 0.03


def test_a_gaussian_flow_is_in_the_range_of_an_affine_map():
    """Then the projection error is zero, and η is the exact velocity of the map."""
    problem = Problem([PotentialEnergy(Quadratic(2, 1.0, 0.5)), Entropy(1.0)], Gaussian(2), 1.0)
    runner = PWGF.on(problem, Affine(2), PWGFOptions(samples=100, rtol=1e-12), LocalCommunicator())
    velocity = runner.velocity_at(runner.start())
    # −f(z) = −2(z − 1) + z = −z + 2: A' = −I, b' = 2.
    expected = torch.tensor([-1.0, 0.0, 0.0, -1.0, 2.0, 2.0])
    assert torch.allclose(velocity.eta, expected, atol=1e-9)
    assert velocity.projection_error < 1e-18
    assert look(runner, runner.start(), velocity).projection_error < 1e-18


def test_samples_are_frozen_within_a_step_and_fresh_in_the_next():
    runner = method()
    state = runner.start()
    z = samples_of(runner.velocity_at(state))
    velocity = runner.velocity_at(state)
    assert torch.equal(samples_of(velocity), z)
    runner.advance(replace(state, entered=velocity), 1e-3)
    assert torch.equal(samples_of(velocity), z)
    assert not torch.equal(samples_of(runner.velocity_at(replace(state, time=0.1, step=1))), z)


def test_a_folded_map_fails_the_step():
    runner = method(Affine(2))
    theta = runner.start().theta
    theta[0] = -2.0
    with pytest.raises(StepFailed, match="the map has folded at 200 of 200 samples"):
        runner.evaluate(runner.start().map.moved(theta), runner.setting.evaluation.ensemble)


def test_a_value_that_is_not_finite_fails_the_step():
    runner = method(Affine(2))
    theta = runner.start().theta
    theta[-1] = float("inf")
    with pytest.raises(StepFailed, match="not finite at 200 of 200 samples"):
        runner.evaluate(runner.start().map.moved(theta), runner.setting.evaluation.ensemble)


def test_float32_follows_float64():
    """On a well-conditioned map, where both reach the least-squares minimum."""
    exact = method(perturb(Affine(2)), rtol=1e-5)
    single = method(perturb(Affine(2)), rtol=1e-5, dtype=torch.float32)
    a, b = exact.velocity_at(exact.start()), single.velocity_at(single.start())
    assert b.eta.dtype == torch.float32
    assert b.projection_error == pytest.approx(a.projection_error, rel=1e-5)
    assert b.energy_rate == pytest.approx(a.energy_rate, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "leapfrog"}, "'leapfrog': expected one of euler"),
        ({"scheme": "rk4", "tolerance": 1e-3}, "no error estimate"),
        ({"rtol": 1e-16}, "below what"),
        ({"step_size": 0.0}, "step_size = 0.0: expected more than 0"),
        ({"rtol": 2.0}, "rtol = 2.0: expected less than 1"),
        ({"samples": 2.5}, "samples = 2.5: expected a whole number"),
        ({"seed": -1}, "seed = -1: expected at least 0"),
        ({"block": 0}, "block = 0: expected at least 1"),
        ({"max_products": 1}, "max_products = 1: expected at least 2"),
        ({"dtype": "float16"}, "dtype = 'float16': expected one of 'float64', 'float32'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        PWGFOptions(**options)


def test_dimensions_must_match():
    with pytest.raises(InputError, match="map acts in dimension 3"):
        method(Affine(3))


def test_the_misfit_of_a_step_of_a_linear_map_is_its_projection_error(tmp_path):
    """An affine map moves along a straight line as θ does: (T_{θ+hη} − T_θ)/h = Jη."""
    map = Affine(2)
    problem = PROBLEM.replace(until=0.1)
    run = wgf.solve(problem, map, PWGFOptions(samples=200), wgf.Output(tmp_path / "run"))
    stored = wgf.open_run(run.path)
    expected = stored.column("step_projection_error")
    assert stored.column("step_misfit") == pytest.approx(expected, rel=1e-6, abs=1e-12)
