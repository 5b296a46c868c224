"""The method on energies that depend on ρ^{m−1} and on pairs: forces, forms, jumps, rates."""

from __future__ import annotations

import pytest
import torch
from oracles import perturb

import hpc_wgf as wgf
from hpc_wgf.checks import check_virial
from hpc_wgf.methods import PWGF, State
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import Problem

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
    return PWGF(problem, map, wgf.PWGFOptions(**options), LocalCommunicator())


@pytest.mark.parametrize("form", list(wgf.Form))
def test_the_measured_rate_is_the_slope_of_the_measured_energy(form):
    """Of all four kinds of energy at once, by central differences along the flow."""
    runner = method(form=form)
    state = runner.start()
    slope = runner.slope(state)
    h = 1e-5
    ahead, behind = (
        runner.measure(State(0.0, state.theta + s * slope.eta, 0, 0.1), slope).energy
        for s in (h, -h)
    )
    rate = runner.measured_rate(state, slope)
    assert rate == pytest.approx((ahead - behind) / (2 * h), rel=1e-7)


def test_the_measured_rate_is_the_energy_rate_up_to_sampling():
    """dF/dt = −ηᵀĜη, own samples against others: within 3 % at n = 40 000."""
    runner = method(map=perturb(wgf.Affine(2)), samples=40_000)
    kinds = [part for part in WHOLE.energy.parts if part is not KERNEL]
    for parts in ([part] for part in kinds):
        runner.problem = Problem(parts, WHOLE.start, 1.0)
        slope = runner.slope(runner.start())
        rate = runner.measured_rate(runner.start(), slope)
        assert rate == pytest.approx(slope.energy_rate, rel=0.03)


def test_the_forms_agree_in_expectation():
    gaps = []
    for samples in (300, 20_000):
        gradients = []
        for form in wgf.Form:
            runner = method(form=form, samples=samples, rtol=1e-9, map=perturb(wgf.Affine(2)))
            runner.problem = Problem(WHOLE.energy.parts[:3], WHOLE.start, 1.0)
            slope = runner.slope(runner.start())
            gradients.append(slope.context.gram.matvec(slope.eta))
        gaps.append(float((gradients[0] - gradients[1]).norm() / gradients[0].norm()))
    assert gaps[1] < 0.3 * gaps[0]
    assert gaps[1] < 0.05


def test_position_parts_give_the_same_gradient_in_both_forms():
    """Potential and interaction energies of the empirical measure: Jᵀf is their exact gradient."""
    problem = Problem([WHOLE.energy.parts[0], KERNEL], wgf.Gaussian(2), until=1.0)
    slopes = [method(problem, form=form).slope(method(problem).start()) for form in wgf.Form]
    assert torch.equal(slopes[0].eta, slopes[1].eta)


def test_a_jump_is_refused_ramped_or_solved_in_the_energy_form():
    energy = [wgf.InternalEnergy(3.0)]
    start = wgf.Mixture([wgf.Gaussian(1, 2.0, 0.1), wgf.Box(1)], [0.2, 0.8])
    with pytest.raises(wgf.InputError, match='jumps at its faces.*ramp.*form = "energy"'):
        method(Problem(energy, start, 1.0), wgf.Affine(1))
    blind = method(Problem(energy, wgf.Box(1), 1.0), wgf.Affine(1), form=wgf.Form.ENERGY,
                   samples=2000)  # fmt: skip
    slope = blind.slope(blind.start())
    # F = ½E[ρ²] = 1/8 on [−1, 1]; dF/da = −2F = −1/4 for x ↦ (1 + a)x, E z² = 1/3: a' = 3/4.
    assert float(slope.eta[0]) == pytest.approx(0.75, rel=0.03)
    assert slope.projection_error != slope.projection_error  # the force says nothing here
    ramped = method(Problem(energy, wgf.Box(1, ramp=0.1), 1.0), wgf.Affine(1), samples=20_000)
    slope = ramped.slope(ramped.start())
    assert float(slope.eta[0]) == pytest.approx(0.75, rel=0.05)
    # What does not ask for the density may start anywhere.
    method(Problem([wgf.PotentialEnergy(wgf.Quadratic(1))], wgf.Box(1), 1.0), wgf.Affine(1))


class Undeclared(wgf.Box):
    """A user's density that does not say that it jumps."""

    def jump(self) -> None:
        return None


class WrongScore(wgf.Gaussian):
    """A user's density whose score has a slip."""

    def score(self, z):
        return 0.8 * super().score(z)


@pytest.mark.parametrize("energy", [wgf.InternalEnergy(3.0), wgf.Entropy(1.0)])
@pytest.mark.parametrize(
    "start",
    [
        Undeclared(2),
        wgf.Mixture([wgf.Gaussian(2, 2.0, 0.1), Undeclared(2)], [0.3, 0.7]),
        WrongScore(2),
    ],
)
def test_a_jump_that_is_not_declared_is_found(energy, start):
    with pytest.raises(wgf.InputError, match="score.*does not belong to its density"):
        check_virial(Problem([energy], start, 1.0))


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
        (wgf.Entropy(1.0), wgf.Box(2, ramp=0.1)),
        (wgf.Entropy(1.0), wgf.Paraboloid(2)),
    ],
)
def test_what_is_continuous_passes(energy, start):
    check_virial(Problem([energy], start, 1.0))


def test_a_fold_is_harmless_to_an_energy_of_positions():
    """The map may fold: the flow goes on, the stored density says that it is not known."""
    problem = Problem([wgf.InteractionEnergy(wgf.PowerLaw(4, 2))], wgf.Gaussian(2), until=1.0)
    runner = method(problem, wgf.Affine(2))
    theta = runner.start().theta
    theta[0] = -2.0  # x ↦ (−x, y)
    state = State(0.0, theta, 0, 0.1)
    slope = runner.slope(state)
    seen = runner.measure(state, slope)
    assert seen.folded == 300
    assert bool(torch.isnan(seen.log_density).all())
    assert slope.projection_error < slope.force_square


def test_an_infinite_energy_is_refused():
    with pytest.raises(wgf.InputError, match="infinite in dimension 1"):
        Problem([wgf.InteractionEnergy(wgf.PowerLaw(2, -1))], wgf.Gaussian(1), until=1.0)
    square = wgf.UserKernel(lambda s: torch.where(s < 5, s, float("inf")), "wall")
    problem = Problem([wgf.InteractionEnergy(square)], wgf.Gaussian(2, 0.0, 9.0), until=1.0)
    with pytest.raises(wgf.InputError, match="not finite at .* start samples"):
        problem.check(3 * torch.randn(100, 2))
