"""The method on energies that depend on ρ^{m−1} and on pairs: forces, forms, jumps, rates."""

from __future__ import annotations

import pytest
import torch
from bound import look, rate, state_at
from oracles import perturb

import hpc_wgf as wgf
from hpc_wgf.checks import check_virial
from hpc_wgf.ensemble.sobol import sobol_points
from hpc_wgf.interactions.batches import batch_means
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import Problem, inverse_transform

KERNEL = wgf.InteractionEnergy(wgf.GaussianKernel(0.5, 0.7), 1.3)
WHOLE = Problem(
    [
        wgf.PotentialEnergy(wgf.Quadratic(2, 0.5)),
        wgf.Entropy(0.1),
        wgf.InternalEnergy(2.4, 0.7),
        KERNEL,
    ],
    wgf.Gaussian(2),
    until=1.0,
)


def method(problem: Problem = WHOLE, map=None, **options) -> PWGF:
    map = map or perturb(wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 5)), 0.2)
    options = {"samples": 300, "rtol": 1e-10} | options
    return PWGF.on(problem, map, wgf.PWGFOptions(**options), LocalCommunicator())


@pytest.mark.parametrize("form", list(wgf.Form))
def test_the_measured_rate_is_the_slope_of_the_measured_energy(form):
    """Of all four kinds of energy at once, by central differences along the flow."""
    runner = method(form=form)
    state = runner.start()
    velocity = runner.velocity_at(state)
    h = 1e-5
    ahead, behind = (
        look(runner, state_at(runner, state.theta + s * velocity.eta), velocity).energy
        for s in (h, -h)
    )
    found = rate(runner, state, velocity)
    assert found == pytest.approx((ahead - behind) / (2 * h), rel=1e-7)


def test_the_measured_rate_is_the_energy_rate_up_to_sampling():
    """dF/dt = −ηᵀĜη, own samples against others: within 3 % at n = 40 000."""
    kinds = [part for part in WHOLE.energy.parts if part is not KERNEL]
    for part in kinds:
        problem = Problem([part], WHOLE.start, 1.0)
        runner = method(problem, perturb(wgf.Affine(2)), samples=40_000)
        velocity = runner.velocity_at(runner.start())
        found = rate(runner, runner.start(), velocity)
        assert found == pytest.approx(velocity.energy_rate, rel=0.03)


def test_the_forms_agree_in_expectation():
    gaps = []
    for samples in (300, 20_000):
        gradients = []
        for form in wgf.Form:
            problem = Problem(WHOLE.energy.parts[:3], WHOLE.start, 1.0)
            map = perturb(wgf.Affine(2))
            runner = method(problem, map, form=form, samples=samples, rtol=1e-9)
            velocity = runner.velocity_at(runner.start())
            gradients.append(runner.system(runner.start().map, velocity.context.ensemble).b)
        gaps.append(float((gradients[0] - gradients[1]).norm() / gradients[0].norm()))
    assert gaps[1] < 0.3 * gaps[0]
    assert gaps[1] < 0.05


def test_the_energy_form_is_the_gradient_of_the_whole_sample_mean():
    """Potential, entropy, internal and interaction energy at once, the latter as the mean over all
    pairs of two particles, by autograd of dense sums; the parts of position enter as Jᵀf, which is
    exact."""
    runner = method(form=wgf.Form.ENERGY)
    velocity = runner.velocity_at(runner.start())
    gradient = -runner.system(runner.start().map, velocity.context.ensemble).b
    z = torch.cat([chunk.x for chunk in velocity.context.ensemble.chunks])
    x, log_det = runner.setting.map.forward_and_logdet(z)
    log_density = WHOLE.start.log_density(z) - log_det
    local = [part for part in WHOLE.energy.parts if part is not KERNEL]
    energy = sum(part.integrand(x, log_density).mean() for part in local)
    square = (x[:, None, :] - x[None, :, :]).square().sum(2)
    kernel = -0.5 * torch.exp(-square / (2 * 0.7**2))
    first, second = torch.triu_indices(len(x), len(x), offset=1)
    energy = energy + 0.5 * 1.3 * kernel[first, second].mean()
    grads = torch.autograd.grad(energy, list(runner.setting.map.parameters()))
    expected = torch.cat([grad.reshape(-1) for grad in grads])
    assert torch.allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_a_jump_is_refused_ramped_or_solved_in_the_energy_form():
    energy = [wgf.InternalEnergy(3.0)]
    start = wgf.Mixture([wgf.Gaussian(1, 2.0, 0.1), wgf.Box(1)], [0.2, 0.8])
    with pytest.raises(wgf.InputError, match='jumps at its faces.*ramp.*form = "weak" or "energy"'):
        method(Problem(energy, start, 1.0), wgf.Affine(1))
    blind = method(Problem(energy, wgf.Box(1), 1.0), wgf.Affine(1), form=wgf.Form.ENERGY,
                   samples=2000)  # fmt: skip
    velocity = blind.velocity_at(blind.start())
    # F = ½E[ρ²] = 1/8 on [−1, 1]; dF/da = −2F = −1/4 for x ↦ (1 + a)x, E z² = 1/3: a' = 3/4.
    assert float(velocity.eta[0]) == pytest.approx(0.75, rel=0.03)
    assert velocity.projection_error != velocity.projection_error  # the force says nothing here
    ramped = method(Problem(energy, wgf.Box(1, ramp=0.1), 1.0), wgf.Affine(1), samples=20_000)
    velocity = ramped.velocity_at(ramped.start())
    assert float(velocity.eta[0]) == pytest.approx(0.75, rel=0.05)
    # What does not ask for the density may start anywhere.
    method(Problem([wgf.PotentialEnergy(wgf.Quadratic(1))], wgf.Box(1), 1.0), wgf.Affine(1))


class Undeclared(wgf.Box):
    """A user's density that does not say that it jumps."""

    def jump(self) -> None:
        return None


class WrongScore(wgf.Gaussian):
    """A user's density whose score has a slip: s ↦ (1 + a) s + shift + turn · (−s₂, s₁)."""

    def __init__(self, a: float = 0.0, shift: float = 0.0, turn: float = 0.0):
        super().__init__(2)
        self.a, self.shift, self.turn = a, shift, turn

    def score(self, z):
        s = super().score(z)
        return (1 + self.a) * s + self.shift + self.turn * torch.stack([-s[:, 1], s[:, 0]], 1)


@pytest.mark.parametrize("energy", [wgf.InternalEnergy(3.0), wgf.Entropy(1.0)])
@pytest.mark.parametrize(
    "start",
    [
        Undeclared(2),
        wgf.Mixture([wgf.Gaussian(2, 2.0, 0.1), Undeclared(2)], [0.3, 0.7]),
        WrongScore(a=-0.2),
        WrongScore(shift=0.2),
        WrongScore(turn=0.2),
    ],
)
def test_a_jump_that_is_not_declared_is_found(energy, start):
    with pytest.raises(wgf.InputError, match="score.*does not belong to its density"):
        check_virial(Problem([energy], start, 1.0), 20_000)


@pytest.mark.parametrize(
    ("energy", "start"),
    [
        (wgf.InternalEnergy(3.0), wgf.Barenblatt(5, 3.0)),
        (wgf.InternalEnergy(2.0), wgf.Barenblatt(15, 2.0)),
        (wgf.InternalEnergy(2.4), wgf.Barenblatt(2, 2.4, 0.1)),
        (wgf.InternalEnergy(3.0), wgf.Paraboloid(2)),
        (wgf.InternalEnergy(3.0), wgf.Box(5, ramp=0.2)),
        (wgf.InternalEnergy(3.0), wgf.Mixture([wgf.Gaussian(10, 0.0, 0.1), wgf.Gaussian(10, 2.0)])),
        (wgf.Entropy(1.0), wgf.Gaussian(30, 1.0, 4.0)),
        (wgf.Entropy(0.0), wgf.Gaussian(2)),
        (wgf.Entropy(1.0), wgf.Box(2, ramp=0.1)),
        (wgf.Entropy(1.0), wgf.Paraboloid(2)),
    ],
)
def test_what_is_continuous_passes(energy, start):
    check_virial(Problem([energy], start, 1.0), 20_000)


def test_a_fold_is_harmless_to_an_energy_of_positions():
    """The map may fold: the flow goes on, the stored density says that it is not known."""
    problem = Problem([wgf.InteractionEnergy(wgf.PowerLaw(4, 2))], wgf.Gaussian(2), until=1.0)
    runner = method(problem, wgf.Affine(2))
    theta = runner.start().theta
    theta[0] = -2.0  # x ↦ (−x, y)
    state = state_at(runner, theta)
    velocity = runner.velocity_at(state)
    seen = look(runner, state, velocity)
    assert seen.folded == 300
    assert bool(torch.isnan(seen.log_density).all())
    assert velocity.projection_error < velocity.force_square


def test_an_infinite_energy_is_refused():
    with pytest.raises(wgf.InputError, match="infinite in dimension 1"):
        Problem([wgf.InteractionEnergy(wgf.PowerLaw(2, -1))], wgf.Gaussian(1), until=1.0)
    square = wgf.UserKernel(lambda s: torch.where(s < 5, s, float("inf")), "wall")
    problem = Problem([wgf.InteractionEnergy(square)], wgf.Gaussian(2, 0.0, 9.0), until=1.0)
    with pytest.raises(wgf.InputError, match="not finite at .* start samples"):
        problem.check(3 * torch.randn(100, 2))


@pytest.mark.parametrize("ramp", [1e-2, 1e-3])
def test_a_ramp_that_too_few_samples_reach_is_refused(ramp):
    """Its force would be noise: half of the energy's change at four hundred samples a ramp."""
    problem = Problem([wgf.InternalEnergy(3.0)], wgf.Box(1, ramp=ramp), 1.0)
    with pytest.raises(wgf.InputError, match="500 samples do not tell.*take at least"):
        check_virial(problem, 500)
    check_virial(problem, 200_000)


def test_a_density_need_not_say_that_it_does_not_jump():
    class Plain:
        dimension = 2
        sample, log_density, score = (
            staticmethod(getattr(wgf.Gaussian(2), name))
            for name in ("sample", "log_density", "score")
        )

    summary = wgf.solve(
        Problem([wgf.InternalEnergy(2.0)], Plain(), 0.02), wgf.Affine(2),
        wgf.PWGFOptions(samples=500, step_size=0.01),
    ).summary  # fmt: skip
    assert summary.finished


@pytest.mark.parametrize(("dimension", "known"), [(1, False), (2, False), (3, True)])
def test_a_force_without_variance_has_no_residual(dimension, known):
    """log|x|: E|f|² is infinite up to d = 2, though η and the energy are well."""
    energy = wgf.InteractionEnergy(wgf.PowerLaw(2, 0))
    runner = method(Problem([energy], wgf.Gaussian(dimension), 1.0), wgf.Affine(dimension))
    velocity = runner.velocity_at(runner.start())
    seen = look(runner, runner.start(), velocity)
    for value in (velocity.projection_error, velocity.force_square, seen.projection_error):
        assert (value == value) is known
    assert velocity.energy_rate < 0
    assert rate(runner, runner.start(), velocity) == pytest.approx(velocity.energy_rate, rel=0.5)


def test_too_few_particles_are_refused():
    problem = Problem([wgf.InteractionEnergy(wgf.PowerLaw(2, 0))], wgf.Gaussian(2), until=1.0)
    with pytest.raises(wgf.InputError, match="needs at least 2 particles, got 1"):
        wgf.solve(problem, wgf.Affine(2), wgf.PWGFOptions(samples=1))


def test_a_barenblatt_flow_of_another_speed_and_centre():
    """factor c: time runs c times as fast; the affine map follows it exactly."""
    problem = Problem(
        wgf.InternalEnergy(2.4, 0.5), wgf.Barenblatt(2, 2.4, 0.1, [1.0, -2.0]), until=0.1
    )
    z = torch.tensor([[1.2, -2.0]])
    exponent = 1 / (2 * 1.4 + 2)
    assert torch.allclose(problem.exact(0.1, z), torch.tensor([[1 + 0.2 * 1.5**exponent, -2.0]]))
    options = wgf.PWGFOptions(samples=500, rtol=1e-10, scheme="rk4", step_size=0.01)
    summary = wgf.solve(problem, wgf.Affine(2), options).summary
    assert max(summary.map_error_relative) < 1e-6


def test_random_batches_of_sobol_points_are_refused():
    """Neighbours in their order keep apart. Of 1024 points in batches of 8, pairs at a distance of
    about .3 are too few by two thirds."""
    kernel = wgf.GaussianKernel(1.0, 0.3)
    batches = wgf.InteractionEnergy(kernel, route=wgf.Route.BATCHES, batch=8)
    transform = inverse_transform(wgf.Gaussian(2))
    means = [
        batch_means(
            kernel, transform.samples(sobol_points(slice(0, 1024), 2, key=(seed,))), 8,
            potential=True,
        )[:, -1].mean()
        for seed in range(10)
    ]  # fmt: skip
    exact = -(0.3**2) / (0.3**2 + 2)  # x − y ~ N(0, 2 I)
    assert abs(float(torch.stack(means).mean())) < 0.5 * abs(exact)
    problem = Problem(batches, wgf.Gaussian(2), until=1.0)
    with pytest.raises(wgf.InputError, match="random batches take consecutive samples"):
        method(problem, samples=1024, rtol=1e-4, sampling="sobol")
    pairs = Problem(wgf.InteractionEnergy(kernel), wgf.Gaussian(2), until=1.0)
    assert method(pairs, samples=1024, rtol=1e-4, sampling="sobol").options.samples == 1024
