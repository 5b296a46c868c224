"""Velocities of flows with mobility and drift: against dense least squares, and runs of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis.stored_error import stored_errors
from hpc_wgf.bench.baselines import TorchFuncPWGF
from hpc_wgf.choices import Form, Preconditioning, Solver
from hpc_wgf.config import RunSpec
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.methods.pwgf.normal_equations import assemble
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import (
    CovarianceMobility,
    LinearDrift,
    MatrixMobility,
    MobilityFunction,
    Saturating,
    UserMobility,
)

D = 2


def tilted(x):
    """P(x), symmetric positive definite."""
    return torch.eye(D).to(x) + 0.2 * x[:, :, None] * x[:, None, :]


MOBILITIES = {
    "saturating": Saturating(1.0),
    "function": MobilityFunction(lambda rho: rho * torch.exp(-rho), "exp"),
    "covariance": CovarianceMobility(),
    "matrix": MatrixMobility(D, [[2.0, 0.5], [0.5, 0.5]]),
    "user": UserMobility(tilted, "tilted"),
}


def problem(mobility, until=0.1, drift=None, inner_product="natural"):
    potential = wgf.Quadratic(D, [1.0, -0.5], [0.5, 1.0]) + wgf.DoubleWell(0.1)
    energy = [wgf.PotentialEnergy(potential), wgf.Entropy(0.5)]
    return wgf.Problem(
        energy, wgf.Gaussian(D, 0.2, 0.5), until=until, mobility=mobility, drift=drift,
        inner_product=inner_product,
    )  # fmt: skip


def method(flow, map=None, **options):
    map = map or wgf.Composition(wgf.Affine(D), wgf.BlockFlow(D, 4))
    options = wgf.PWGFOptions(**{"samples": 300, "block": 100, "rtol": 1e-9, **options})
    return PWGF.on(flow, map, options, LocalCommunicator())


def moved(runner):
    """A state away from the identity."""
    state = runner.start()
    noise = torch.randn(state.theta.shape, generator=torch.Generator().manual_seed(1))
    return state.map.moved(state.theta + 0.02 * noise)


def dense(runner, map):
    """J, (n, d, p), f, P and b at the samples of the first step, written out."""
    ensemble, flow = runner.samples(map, 0), runner.problem.at()
    z = torch.cat(ensemble.points)
    J = torch.stack([map.active().linearize(z).jvp(each) for each in torch.eye(len(map.theta))], 2)
    pushed = ensemble.push(map.active(), density=True, score=True)
    f = torch.cat([each.total for each in ensemble.forces(flow.energy, pushed)])
    x, rho = torch.cat([each.x for each in pushed]), torch.cat([e.log_density for e in pushed])
    rho, eye = rho.exp()[:, None, None], torch.eye(D)
    P = {
        "saturating": (1 - rho).clamp(1e-3, 1) * eye,
        "function": torch.exp(-rho) * eye,
        "covariance": ((x - x.mean(0)).T @ (x - x.mean(0)) / len(x)).expand(len(x), D, D),
        "matrix": torch.tensor([[2.0, 0.5], [0.5, 0.5]]).expand(len(x), D, D),
        "user": tilted(x),
    }
    b = torch.zeros_like(x) if flow.drift is None else flow.drift(x, 0.0)
    return J, f, P, b


@pytest.mark.parametrize("kind", MOBILITIES)
@pytest.mark.parametrize("inner_product", ["natural", "plain"])
def test_the_system_is_that_of_the_least_squares(kind, inner_product):
    """Ĝ, right-hand side and LSMR's rows of min E|R(Jη + P f − b)|²; and dF/dt."""
    flow = problem(MOBILITIES[kind], drift=LinearDrift(D, [[0.0, -1.0], [1.0, 0.0]], 0.3),
                   inner_product=inner_product)  # fmt: skip
    runner = method(flow)
    map = moved(runner)
    J, f, P, b = dense(runner, map)
    P, n = P[kind], len(f)
    W = torch.linalg.inv(P) if inner_product == "natural" else torch.eye(D).expand(n, D, D)
    opposite = torch.einsum("nij,nj->ni", P, f) - b
    G = torch.einsum("nip,nij,njq->pq", J, W, J) / n
    right = -torch.einsum("nip,nij,nj->p", J, W, opposite) / n
    system = runner.system(map, runner.samples(map, 0))
    assert torch.allclose(system.b, right, rtol=1e-9, atol=1e-11)
    v = torch.randn(len(right))
    assert torch.allclose(system.gram.matvec(v), G @ v, rtol=1e-9, atol=1e-11)
    found = runner.evaluate(map, runner.samples(map, 0))
    motion = torch.einsum("nip,p->ni", J, found.eta)
    assert found.projection_error == pytest.approx(float((motion + opposite).square().sum() / n))
    rate = float((f * motion).sum() / n)
    # In the natural form −ηᵀĜη + E[bᵀP⁻¹Jη] is E[f·Jη] for the exact minimiser.
    assert found.energy_rate == pytest.approx(rate, rel=1e-5)


@pytest.mark.parametrize("kind", ["saturating", "user"])
def test_all_solvers_find_the_same_velocity(kind):
    flow = problem(MOBILITIES[kind])
    settings = [{"preconditioner": each} for each in Preconditioning] + [{"solver": Solver.LSMR}]
    found = []
    for options in settings:
        runner = method(flow, shift=1e-12, **options)
        map = moved(runner)
        found.append(runner.evaluate(map, runner.samples(map, 0)))
    J, f, P, _ = dense(runner, map)
    W = torch.linalg.inv(P[kind])
    G = torch.einsum("nip,nij,njq->pq", J, W, J) / len(f)
    exact = torch.linalg.solve(G, -torch.einsum("nip,ni->p", J, f) / len(f))
    for each, options in zip(found, settings, strict=True):
        apart = torch.einsum("nip,p->ni", J, each.eta - exact)
        assert float(apart.norm() / torch.einsum("nip,p->ni", J, exact).norm()) < 1e-4, options


@pytest.mark.parametrize("kind", MOBILITIES)
def test_direct_solves_find_the_velocity_of_iterative_ones(kind):
    found = []
    for solver in (Solver.AUTOMATIC, Solver.MINRES):
        runner = method(problem(MOBILITIES[kind]), wgf.Affine(D), solver=solver)
        map = moved(runner)
        found.append(runner.evaluate(map, runner.samples(map, 0)).eta)
    assert torch.allclose(*found, rtol=1e-5, atol=1e-7)


def test_the_energy_form_has_the_gradient_of_the_energy():
    """In the natural form the right-hand side without drift is that of P = I, whatever P."""
    systems = []
    for mobility in (None, MOBILITIES["user"]):
        runner = method(problem(mobility))
        map = moved(runner)
        ensemble = runner.samples(map, 0)
        systems.append(assemble(map.active(), ensemble, runner.problem.at(), form=Form.ENERGY).b)
    assert torch.allclose(*systems, rtol=1e-12)
    with pytest.raises(wgf.InputError, match="plain inner product"):
        method(problem(MOBILITIES["user"], inner_product="plain"), form="energy")


def test_ros2_takes_the_resolvent_of_the_natural_form_alone():
    """A stiff mobility: in the plain form its steps would blow up, as P is not in the curvature."""
    flow, map, options = (
        lambda inner_product: wgf.Problem(
            wgf.PotentialEnergy(wgf.Quadratic(D)), wgf.Gaussian(D, 1.0), until=0.2,
            mobility=MatrixMobility(D, 100.0), inner_product=inner_product,
        ),
        wgf.Affine(D),
        wgf.PWGFOptions(samples=50, step_size=0.05, scheme="ros2"),
    )  # fmt: skip
    x = wgf.solve(flow("natural"), map, options).state(torch.ones(1, D))
    assert float(x.norm()) < 0.1
    with pytest.raises(wgf.InputError, match="scheme ros2 .*inner_product = .natural"):
        wgf.solve(flow("plain"), map, options)


@pytest.mark.parametrize(
    ("kind", "direct"), [("matrix", False), ("user", False), ("saturating", True)]
)
def test_features_of_coupled_coordinates_are_counted_together(kind, direct, monkeypatch):
    """An affine map of the plane has 3 features and 6 parameters."""
    monkeypatch.setattr("hpc_wgf.metric.MOST_FEATURES", 5)
    found = method(problem(MOBILITIES[kind]), wgf.Affine(D)).description()["solver"]
    assert (found == "direct") is direct
    if not direct:
        assert (
            method(problem(MOBILITIES[kind], inner_product="plain"), wgf.Affine(D)).description()[
                "solver"
            ]
            == "direct"
        )
        with pytest.raises(wgf.InputError, match="here of 6 rows"):
            method(problem(MOBILITIES[kind]), wgf.Affine(D), solver="direct")


def test_the_baseline_of_other_products_refuses_a_mobility():
    options, ranks = wgf.PWGFOptions(samples=50), LocalCommunicator()
    runner = TorchFuncPWGF.on(problem(MOBILITIES["matrix"]), wgf.Affine(D), options, ranks)
    with pytest.raises(wgf.InputError, match="P = I alone"):
        runner.system(runner.start().map, runner.samples(runner.start().map, 0))


def test_a_covariance_of_too_few_samples_is_refused():
    flow = problem(CovarianceMobility())
    with pytest.raises(wgf.InputError, match=r"2 samples, .* singular: .*method\.samples"):
        wgf.solve(flow, wgf.Affine(D), wgf.PWGFOptions(samples=2))
    with pytest.raises(wgf.InputError, match=r"2 samples, .*output\.particles"):
        wgf.solve(flow, wgf.Affine(D), wgf.PWGFOptions(samples=100), wgf.Output(particles=2))


@pytest.mark.parametrize("kind", ["saturating", "covariance"])
def test_a_run_goes_on_bit_for_bit_and_keeps_the_energy_law(tmp_path, kind):
    flow, options = problem(MOBILITIES[kind], until=0.04), wgf.PWGFOptions(
        samples=512, sampling="sobol", step_size=0.005, scheme="heun"
    )  # fmt: skip
    map = wgf.Composition(wgf.Affine(D), wgf.BlockFlow(D, 16))
    output = wgf.Output(tmp_path / "whole", every=0.02)
    whole = wgf.solve(flow, map, options, output)
    law = whole.summary.energy_law
    assert law.whole.gap < 0.02
    assert whole.summary.error_bound_relative is None
    assert "mobility" in whole.summary.bound_left_out
    torn = wgf.Output(tmp_path / "torn", every=0.02)
    # With so many parameters a preconditioner serves for several steps, and is made again.
    steps = iter([False] * 4 + [True])
    wgf.solve(flow, map, options, torn, stop=lambda: next(steps))
    gone_on = wgf.solve(flow, map, options, torn, resume=True)
    assert torch.equal(gone_on.state.theta, whole.state.theta)
    assert gone_on.summary.map_error == whole.summary.map_error
    with pytest.raises(wgf.InputError, match="P = I alone"):
        stored_errors(wgf.Trajectory.of(tmp_path / "whole", RunSpec(flow, map, options)))
    with pytest.raises(wgf.InputError, match="P = I alone"):
        wgf.solve(flow, map, wgf.PWGFOptions(accuracy=0.1))
    with pytest.raises(wgf.InputError, match="mobility"):
        wgf.solve(problem(None, until=0.05), map, options, torn, resume=True)


@pytest.mark.parametrize(
    ("name", "bound"),
    [("anisotropic-gauss", 1e-3), ("kalman-gauss", 5e-3), ("linear-drift-5d", 1e-3)],
)
def test_named_gaussian_flows(name, bound):
    spec = wgf.load_problem(name, "problem.until=0.4", "method.samples=1024")
    summary = wgf.solve(*spec, wgf.Output(every=0.2)).summary
    assert 0 < max(summary.map_error_relative) < bound
    assert summary.energy_law.whole.gap < 0.02
    measured = np.array(summary.energy_rate_measured)
    assert np.allclose(summary.energy_rate, measured, rtol=0.05)


def test_a_trap_moves_the_mean_and_the_energy_law_counts_it(tmp_path):
    """Mean and trace of the covariance to 1 % with 3 particles, as the exact law has them; dF/dt
    has ∂ₜF, without which it would be off by more than all of it."""
    settings = ["problem.dimension=6", "problem.start.mean=[2, 0, 2, 0, 2, 0]",
                'problem.energy=[{kind="moving-trap", particles=3}, {kind="entropy", beta=0.25}]',
                "problem.until=0.5", "method.samples=512"]  # fmt: skip
    spec = wgf.load_problem("moving-trap", *settings)
    summary = wgf.solve(*spec, wgf.Output(tmp_path / "run", every=0.25)).summary
    assert summary.energy_may_rise
    assert summary.energy_law.whole.gap < 0.02
    for time, row in ((0.25, 1), (0.5, 2)):
        x = torch.from_numpy(wgf.open_run(tmp_path / "run").particles(row))
        mean, covariance = spec.problem.exact.law(time)
        assert float((x.mean(0) - mean).norm() / mean.norm()) < 0.05
        assert float(x.T.cov().trace() / covariance.trace()) == pytest.approx(1, abs=0.1)
    assert max(summary.map_error_relative) < 1e-3


def test_stages_of_a_step_are_taken_at_their_own_times():
    """From N(0, 1) with b = cos 8t: the mean is sin(8t)/8, to the order of the scheme."""
    flow = wgf.Problem(
        wgf.Entropy(0.0), wgf.Gaussian(1), until=1.0,
        drift=lambda x, t: torch.full_like(x, math.cos(8 * t)),
    )  # fmt: skip
    for scheme, bound in (("rk4", 1e-4), ("kutta32", 2e-3), ("rkc2", 2e-2), ("ros2", 2e-2)):
        solution = wgf.solve(
            flow, wgf.Affine(1), wgf.PWGFOptions(samples=200, step_size=0.1, scheme=scheme)
        )
        moved = float(solution.state(torch.zeros(1, 1)))
        assert moved == pytest.approx(math.sin(8.0) / 8, abs=bound), scheme
