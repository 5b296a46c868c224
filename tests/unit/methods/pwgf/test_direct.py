"""Direct solves and implicit steps of maps that are linear in their parameters."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.cloud import joined
from hpc_wgf.maps import Affine, AxisSpline, BlockFlow, Composition, RadialBasis, SoftmaxGates
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.methods.pwgf.curvature import curvature
from hpc_wgf.metric import FeatureGram
from hpc_wgf.parallel import LocalCommunicator
from tests.oracles import perturb

TILTED = wgf.UserPotential(
    lambda x: (x**4 - x**2).sum(1) + 0.5 * x[:, 0] + 0.1 * (x[:, 0] * x[:, -1]) ** 2, "tilted"
)
SMOOTH = wgf.Problem(
    [wgf.PotentialEnergy(TILTED), wgf.Entropy(0.7)], wgf.Gaussian(2, 0.2, 0.5), 1.0
)
MAPS = {
    "affine": lambda: Affine(2),
    "spline": lambda: AxisSpline(2, 6),
    "rbf": lambda: RadialBasis(2, 8),
    "softmax": lambda: SoftmaxGates(2, [[0.8, 0.3], [-0.7, 0.1], [0.2, -0.6]], variance=0.4),
}


def method(problem=SMOOTH, map=None, **options) -> PWGF:
    options = {"samples": 400, "scheme": "ros2", "form": "energy"} | options
    return PWGF.on(problem, map or MAPS["spline"](), wgf.PWGFOptions(**options),
                   LocalCommunicator())  # fmt: skip


def moved(runner: PWGF, size: float = 0.05):
    """A state away from the start."""
    state = runner.start()
    theta = perturb(runner.setting.map, size, seed=2).get_theta()
    return replace(state, map=state.map.moved(theta))


def dense_gram(runner: PWGF, state) -> torch.Tensor:
    system = runner.system(state.map, runner.samples(state.map, 0))
    p = len(state.theta)
    eye = torch.eye(p, dtype=torch.float64)
    return torch.stack([system.gram.matvec(e) for e in eye], 1)


@pytest.mark.parametrize("kind", MAPS)
def test_the_matrix_is_that_of_the_products(kind):
    runner = method(map=MAPS[kind]())
    state = moved(runner)
    gram = FeatureGram.of(state.map.active(), runner.samples(state.map, 0))
    eye = torch.eye(len(state.theta), dtype=torch.float64)
    found = torch.stack([gram.applied(gram.matrices, e) for e in eye], 1)
    assert torch.allclose(found, dense_gram(runner, state), atol=1e-13)


@pytest.mark.parametrize("form", ["force", "energy"])
@pytest.mark.parametrize("kind", MAPS)
def test_direct_solves_are_those_of_minres(kind, form):
    """To the shift, which is 1e-9 of the largest eigenvalue."""
    options = {"scheme": "heun", "form": form, "shift": 1e-9}
    direct = method(map=MAPS[kind](), **options)
    plain = method(map=MAPS[kind](), solver="minres", preconditioner="dense", rtol=1e-11, **options)
    one, other = (runner.velocity_at(moved(runner)) for runner in (direct, plain))
    assert (one.products, one.converged) == (0, True)
    assert other.products > 0
    assert float((one.eta - other.eta).norm()) < 1e-5 * float(other.eta.norm())
    assert one.residual < 1e-9


def test_features_that_few_samples_see_are_damped():
    """(Ĝ + εI + diag δ) η = −∇F, δ of the gates alone; not where a shift is given."""
    for shift, times in ((None, 1.0), (1e-9, 0.0)):
        runner = method(map=MAPS["softmax"](), scheme="heun", shift=shift)
        state = moved(runner)
        system = runner.system(state.map, runner.samples(state.map, 0))
        gram = dense_gram(runner, state)
        features = state.map.map.linear_features(torch.zeros(1, 2).double())
        damping = torch.empty(len(state.theta), dtype=torch.float64)
        damping[features.index[0]] = features.damping[:, None].expand(-1, 2)
        assert float(damping.max()) == 1e-4
        whole = gram + 1e-9 * torch.linalg.matrix_norm(gram, 2) * torch.eye(len(gram))
        found = runner.velocity_at(state).eta
        applied = whole @ found + times * damping * found
        assert torch.allclose(applied, system.b, rtol=0, atol=1e-10 * float(system.b.abs().max()))


def test_the_curvature_is_the_second_derivative_of_a_convex_energy():
    """Of splines, where nothing has to be made positive; with all samples of a small ensemble."""
    convex = wgf.UserPotential(lambda x: (x**4).sum(1) + (0.3 * x).exp().sum(1), "convex")
    for part in (wgf.Entropy(0.7), wgf.InternalEnergy(2.5)):
        problem = wgf.Problem([wgf.PotentialEnergy(convex), part], wgf.Gaussian(2, 0.2, 0.5), 1.0)
        runner = method(problem)
        state = moved(runner)
        ensemble, map = runner.samples(state.map, 0), state.map.map
        chunk = joined(ensemble.chunks)

        def energy(theta, problem=problem, chunk=chunk, map=map):
            image = torch.func.functional_call(map, {"c": theta.view_as(map.c)}, (chunk.x,))
            slopes = 1 + torch.stack([
                (theta.view_as(map.c)[j, :, None] * map.linear_features(chunk.x).slope[j, :, 0])
                .sum(0) for j in range(2)
            ])  # fmt: skip
            log_density = chunk.log_density - slopes.log().sum(0)
            potential = problem.energy.potential()(image)
            return (potential + problem.energy.density_integrand(image, log_density)).mean()

        exact = torch.func.hessian(energy)(state.theta)
        found = curvature(state.map.active(), ensemble, problem.energy)
        q = found.shape[1]
        for b in range(2):
            own = slice(b * q, (b + 1) * q)
            assert torch.allclose(found[b], exact[own, own], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", MAPS)
def test_it_is_positive_where_the_energy_is_not_convex(kind):
    runner = method(map=MAPS[kind]())
    state = moved(runner)
    found = curvature(state.map.active(), runner.samples(state.map, 0), SMOOTH.energy)
    assert torch.allclose(found, found.mT, atol=1e-12)
    values = torch.linalg.eigvalsh(found)
    assert float(values.min()) > -1e-12 * float(values.max())


def test_the_resolvent_is_that_of_the_dense_matrices():
    runner = method(map=Affine(2))
    state = moved(runner)
    ensemble = runner.samples(state.map, 0)
    solver = runner.solver(state.map)
    H = curvature(state.map.active(), ensemble, SMOOTH.energy)[0]
    index = state.map.map.linear_features(ensemble.points[0][:1]).index[0].flatten()
    whole = torch.zeros_like(H)
    whole[index[:, None], index[None, :]] = H
    G = dense_gram(runner, state)
    v = torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = 0.3
    found = solver.resolvent(state.map, ensemble, SMOOTH.at())(a, v)
    assert torch.allclose(found, torch.linalg.solve(G + a * whole, G @ v), rtol=1e-6)


def test_an_implicit_step_takes_a_stiff_flow_in_long_steps():
    """An Ornstein–Uhlenbeck flow of stiffness 10⁴ into its narrow well, N(0, 10⁻⁴): an explicit
    scheme is unstable beyond steps of 10⁻⁴."""
    start = wgf.Gaussian(1, 0.0, 4e-4)
    problem = wgf.Problem([wgf.PotentialEnergy(wgf.Quadratic(1, 0.0, 1e-4)), wgf.Entropy(1.0)],
                          start, 0.02)  # fmt: skip
    options = wgf.PWGFOptions(samples=1024, scheme="ros2", step_size=1e-5, form="energy",
                              tolerance=1e-2, sampling="sobol")  # fmt: skip
    found = wgf.solve(problem, Affine(1), options, wgf.Output(every=0.02), stages=NONE)
    spread = float(found.state(torch.tensor([[0.02]], dtype=torch.float64)))
    assert spread == pytest.approx(0.01, rel=2e-2)
    assert found.summary.steps < 0.4 * 0.02 / 1e-4


NONE = wgf.Stages(when="none")


def test_the_scheme_is_of_second_order():
    """For a flow that the map follows exactly, on fixed samples of high quality."""
    problem = wgf.Problem([wgf.PotentialEnergy(wgf.Quadratic(1, 1.0, 1.0)), wgf.Entropy(1.0)],
                          wgf.Gaussian(1, 0.0, 0.25), 0.8)  # fmt: skip
    errors = []
    for step in (0.2, 0.1, 0.05):
        options = wgf.PWGFOptions(samples=64, scheme="ros2", step_size=step, form="force")
        found = wgf.solve(problem, Affine(1), options, wgf.Output(every=0.8), stages=NONE)
        errors.append(found.summary.map_error_relative[-1])
    rates = [coarse / fine for coarse, fine in pairwise(errors)]
    assert all(3.3 < rate < 5.0 for rate in rates), errors


@pytest.mark.parametrize(
    ("map", "options", "message"),
    [
        (lambda: BlockFlow(2, 4), {}, "scheme ros2 needs a map that is linear"),
        (lambda: Composition(Affine(2), BlockFlow(2, 4)), {"scheme": "heun", "solver": "direct"},
         "solver direct needs a map that is linear"),
        (lambda: Affine(2), {"solver": "minres"}, "scheme ros2 solves directly"),
        (lambda: Affine(2), {"preconditioner": "dense"}, "scheme ros2 solves directly"),
        (lambda: Affine(70), {}, "matrices of the map's features, here of 4970 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_solved_directly_is_refused(map, options, message):
    map = map()
    problem = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(map.dimension), 1.0)
    with pytest.raises(wgf.InputError, match=message):
        method(problem, map, **options)


def test_fewer_samples_than_features_are_refused():
    problem = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(1), 1.0)
    few = wgf.PWGFOptions(samples=20, solver="direct")
    assert not wgf.PWGFOptions(samples=20).solves_directly(AxisSpline(1, 30))
    with pytest.raises(wgf.InputError, match="20 samples cannot tell 30 features"):
        wgf.solve(problem, AxisSpline(1, 30), few)


def test_options_that_exclude_each_other_are_refused():
    with pytest.raises(wgf.InputError, match="preconditioner dense is for solves by products"):
        wgf.PWGFOptions(solver="direct", preconditioner="dense")
    with pytest.raises(wgf.InputError, match="validation samples end solves by minres"):
        wgf.PWGFOptions(solver="direct", validation=0.5)


def test_more_gates_than_samples_are_refused():
    """Also where the solves would be by MINRES, and beside other maps."""
    centres = torch.rand(30, 2, generator=torch.Generator().manual_seed(0)).double()
    gates = SoftmaxGates(2, centres, variance=0.1)
    for map in (gates, Composition(Affine(2), gates)):
        with pytest.raises(wgf.InputError, match="100 samples cannot tell 145 gates of a softmax"):
            wgf.solve(SMOOTH, map, wgf.PWGFOptions(samples=100))
