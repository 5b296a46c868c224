"""Bound and estimate of a run's error: against closed forms, and against errors that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from summaries import errors_after_start

import hpc_wgf as wgf
from hpc_wgf.analysis import stored_errors
from hpc_wgf.cloud import Cloud
from hpc_wgf.diagnostics.linearised_error import Galerkin, Hessians, Seen, roughness
from hpc_wgf.gradients import RidgeBasis
from hpc_wgf.interactions import Morse, NonradialKernel, Power, ScreenedCoulomb, Softened
from hpc_wgf.maps import Frame
from hpc_wgf.problems import Quadratic, SumOfEnergies, UserPotential


def still(x, force=None):
    zero = torch.zeros_like(x)
    cloud = Cloud(x, x[:, 0], x)
    weights = torch.full_like(x[:, 0], 1 / len(x))
    return Seen(cloud, zero if force is None else force, zero, weights)


@pytest.mark.parametrize("d", [1, 3])
def test_moments_of_the_stationary_law_decay_at_the_rates_of_hermite_polynomials(d):
    """At N(0, I) under V = |x|²/2, β = 1, where f = 0: rate 1 of coordinates, 2 of squares."""
    torch.manual_seed(1)
    x = torch.randn(4000, d, dtype=torch.float64)
    x = x - x.mean(0)
    x = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / 4000), x.T, upper=False).T
    energy = SumOfEnergies([wgf.PotentialEnergy(Quadratic(d)), wgf.Entropy(1.0)])
    galerkin = Galerkin(RidgeBasis.of(Frame.of_samples(x), 2 * d), still(x))
    hessians = Hessians(energy.potential(), x)
    generator = galerkin.generator(hessians, galerkin.diffusion(energy))
    rates = torch.linalg.eigvals(generator).real.sort().values
    exact = torch.tensor([-2.0] * d + [-1.0] * d, dtype=torch.float64)
    assert torch.allclose(rates, exact, atol=0.06)


def test_all_forms_of_a_hessian_are_the_same():
    """Constant, of every coordinate, and full: ∇²V = diag(1, 4)."""
    torch.manual_seed(2)
    x, e = torch.randn(2, 30, 2, dtype=torch.float64)
    curvatures = torch.tensor([1.0, 4.0], dtype=torch.float64)

    class Alone(UserPotential):
        def coordinate(self, j):
            return lambda y: 0.5 * curvatures[j] * y**2

    def value(y):
        return 0.5 * (curvatures * y.square()).sum(1)

    forms = [Quadratic(2, 0.0, 1 / curvatures), Alone(value), UserPotential(value)]
    seen = [Hessians(V, x) for V in forms]
    basis = RidgeBasis.of(Frame.of_samples(x), 12)
    first, _ = basis.derivatives(x)
    for each in seen:
        assert each.least == pytest.approx(1.0)
        assert torch.allclose(each.decayed(e, 0.3), torch.exp(-0.3 * curvatures) * e)
        found = each.form(first / 30, first, first.T @ first / 30, basis.directions)
        assert torch.allclose(
            found, seen[0].form(first / 30, first, first.T @ first / 30, basis.directions)
        )


def test_the_roughness_of_a_wave_is_its_squared_frequency():
    x = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)[:, None]
    energy = SumOfEnergies([wgf.Entropy(0.5)])
    assert roughness(still(x), (7 * x).sin(), energy) == pytest.approx(0.5 * 49, rel=1e-2)


@pytest.mark.parametrize(
    ("potential", "kappa"),
    [
        (Quadratic(2, 0.0, [[2.0, 1.0], [1.0, 2.0]]), 1 / 3),
        (wgf.StyblinskiTang(), -1.92),
        (wgf.DoubleWell(4.0, 0.5, 1.0), -16.0),
        (wgf.GaussianMixture([[0.0, 0.0], [2.0, 0.0]], 0.5), 1 / 0.5 - 4 / (4 * 0.25)),
        (wgf.GaussianMixture([[1, 1], [1, -1], [-1, 1], [-1, -1]], 0.5), 1 / 0.5 - 4 / (4 * 0.25)),
        (wgf.Rosenbrock(), None),
        (wgf.DoubleWell(4.0, 0.5, -20.0), -20.0),
        (wgf.StyblinskiTang() + Quadratic(2), -0.92),
    ],
)
def test_the_convexity_of_a_potential_is_the_least_curvature(potential, kappa):
    assert potential.convexity() == (None if kappa is None else pytest.approx(kappa))
    if kappa is None:
        return
    x = 3 * torch.randn(4000, 2, dtype=torch.float64)
    least = Hessians(potential, x).least
    assert least >= kappa - 1e-9
    at = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert Hessians(potential, at).least == pytest.approx(kappa, abs=1e-6)


@pytest.mark.parametrize(
    "kernel",
    [
        wgf.GaussianKernel(2.0, 0.7),
        wgf.GaussianKernel(-2.0, 0.7),
        wgf.PowerLaw(4.0, 2.0),
        wgf.PowerLaw(6.0, 3.0),
        wgf.PowerLaw(2.0, 4.0),
        Power(2.0),
        Power(3.0),
        Morse(0.5, 0.8),
        Morse(2.0, 0.5),
        Morse(0.4, 0.4),
        Softened(Power(0.0), 0.3),
        Softened(Power(-1.0), 0.3),
        Softened(Power(2.0), 0.3),
        Power(0.0),
        ScreenedCoulomb(),
        NonradialKernel(lambda x: x[:, 0] ** 2),
    ],
    ids=str,
)
def test_the_convexity_of_a_kernel_is_the_least_curvature(kernel):
    """∇J = weight · x has the eigenvalues weight, across, and (weight · r)', along x. Where no
    bound is told, there is none, or the kernel is not of the distance."""
    if isinstance(kernel, NonradialKernel):
        assert kernel.convexity() is kernel.concavity() is None
        return
    r = torch.linspace(1e-4, 12, 80_001, dtype=torch.float64)
    across = kernel.weight(r.square())
    along = torch.gradient(across * r, spacing=(r,))[0][1:-1]
    eigenvalues = torch.stack([across[1:-1], along])
    for bound, found in (
        (kernel.convexity(), float(eigenvalues.min())),
        (kernel.concavity(), float(eigenvalues.max())),
    ):
        if bound is None:
            assert abs(found) > 20  # It is not bounded: at 0, or far away.
        else:
            assert bound == pytest.approx(found, rel=2e-3, abs=2e-3)


def test_the_convexity_of_an_interaction_is_that_of_its_kernel_or_none():
    """min(0, c λ_min ∇²J): a translation of all particles is never convex by an interaction."""
    of = lambda kernel, factor: wgf.InteractionEnergy(kernel, factor).convexity()  # noqa: E731
    assert of(Power(2.0), 3.0) == 0.0
    assert of(Power(2.0), -3.0) == -3.0
    assert of(wgf.PowerLaw(4.0, 2.0), 2.0) == -2.0
    assert of(wgf.PowerLaw(2.0, 4.0), -2.0) == -2.0
    assert of(Power(4.0), -1.0) is None
    energy = SumOfEnergies([wgf.InteractionEnergy(Power(2.0), -3.0), wgf.Entropy(1.0)])
    assert energy.convexity() == -3.0


def followed(name, *settings, **options):
    spec = wgf.load_problem(name, *settings)
    output = wgf.Output(every=options.pop("every"))
    return wgf.solve(*spec, output).summary


@pytest.mark.parametrize(
    ("name", "until", "most"),
    [("ou-2d-aniso", 0.6, 1.3), ("porous-5d", 1.3, 1.3), ("styblinski-tang-2d", 0.24, 2.5)],
)
def test_the_bound_holds_and_the_estimate_is_near(name, until, most):
    summary = followed(name, f"problem.until={until}", "method.samples=2000", every=0.12)
    error, bound, estimate = errors_after_start(summary)
    assert len(error) >= 2
    assert (bound >= error).all()
    assert (estimate >= 0.7 * error).all()
    assert (estimate <= most * error).all()
    assert (summary.error_bound_relative[0], summary.error_estimate_relative[0]) == (None, None)
    assert summary.convexity_source == "energy"


def test_the_projection_error_of_steps_alone_is_no_bound():
    """∫ e^{−κ(t−s)} √δ ds with δ at the beginnings of steps leaves out what steps themselves miss:
    with long ones it is below the true error, where the bound is not."""
    problem, map, options = wgf.load_problem("ou-10d", "problem.until=0.4")
    rows = []

    class Rows:
        def on_row(self, row):
            rows.append(row.figures)

        def on_step(self, step):
            steps.append(step.figures)

        def on_stop(self, *given):
            return

        def on_end(self):
            return

    steps = []
    options = replace(options, scheme="heun", step_size=0.1, tolerance=None)
    wgf.solve(problem, map, options, wgf.Output(every=0.4), observers=[Rows()])
    old = 0.0
    for step in steps:
        decay = math.exp(-step["size"])
        old = decay * old + step["size"] * step["projection_error_fresh"] ** 0.5
    assert old < rows[-1]["map_error"] <= rows[-1]["error_bound"]


def test_where_nothing_is_known_nothing_is_said():
    """Interactions of no known convexity have no bound and no estimate; with the user's word they
    have a bound; a potential without one has that of its samples, labelled so."""
    kernel = wgf.PowerLaw(3.0, 1.5)
    problem = [wgf.InteractionEnergy(kernel)], wgf.Gaussian(1), 0.1
    options = wgf.PWGFOptions(samples=300, step_size=0.05)
    without = wgf.solve(wgf.Problem(*problem), wgf.Affine(1), options).summary
    assert without.error_bound_relative is None
    assert without.error_estimate_relative is None
    told = wgf.solve(wgf.Problem(*problem, convexity=0.5), wgf.Affine(1), options).summary
    assert told.error_bound_relative[-1] > 0
    assert (told.convexity, told.convexity_source) == (0.5, "given")
    own = UserPotential(lambda x: (x.square() - 1).square().sum(1))
    energy = [wgf.PotentialEnergy(own), wgf.Entropy(1.0)]
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 8))
    options = wgf.PWGFOptions(samples=600, step_size=0.005)
    seen = wgf.solve(wgf.Problem(energy, wgf.Gaussian(2), 0.02), map, options).summary
    assert seen.convexity_source == "sample"
    assert -4.0 <= seen.convexity < -3.0  # 12 x² − 4 where samples are nearest to 0
    unwanted = wgf.solve(
        wgf.Problem(energy, wgf.Gaussian(2), 0.02), map, options, wgf.Output(bound=False)
    ).summary
    assert unwanted.error_bound_relative is None
    assert unwanted.seconds_bound is None


def test_where_the_force_has_no_mean_square_the_reason_is_given(tmp_path):
    """At a jump of the start part of the force is concentrated."""
    problem = wgf.Problem(wgf.Entropy(1.0), wgf.Box(1, -1.0, 1.0), 0.1)
    options = wgf.PWGFOptions(samples=300, step_size=0.05, form="energy")
    spec = wgf.RunSpec(problem, wgf.Affine(1), options)
    summary = wgf.solve(*spec, wgf.Output(tmp_path / "run")).summary
    assert summary.error_bound_relative is None
    assert "mean square of the force" in summary.bound_left_out
    with pytest.raises(wgf.InputError, match="mean square of the force"):
        stored_errors(wgf.Trajectory.of(tmp_path / "run", spec))
    with pytest.raises(wgf.InputError, match=r"mean square of the force.*method\.samples"):
        wgf.solve(problem, wgf.Affine(1), replace(options, accuracy=1e-2))


def test_what_cannot_be_told_does_not_end_a_run():
    """A bound that no number can hold, and Hessians that are none at the samples."""
    options = wgf.PWGFOptions(samples=300, step_size=0.05)
    told = wgf.Problem(wgf.Entropy(1.0), wgf.Gaussian(1), 0.1, convexity=-1e6)
    summary = wgf.solve(told, wgf.Affine(1), options).summary
    assert summary.finished
    assert summary.error_bound_relative is None
    assert summary.error_estimate_relative[-1] < 0.1

    class Rough(UserPotential):
        """|x|, by a formula whose gradient is right and whose second derivative is not a number."""

        def gradient(self, x):
            return x.sign()

    def value(x):
        return (x[:, 0] - x[:, 0].detach()).abs().sqrt() * 0 + x.abs().sum(1)

    rough = wgf.Problem([wgf.PotentialEnergy(Rough(value)), wgf.Entropy(1.0)], wgf.Gaussian(2), 0.1)
    summary = wgf.solve(rough, wgf.Affine(2), options).summary
    assert summary.finished
    assert summary.error_estimate_relative is None


def test_a_basis_that_cannot_be_factored_ends_the_estimate_alone(monkeypatch):
    """As where the map has folded at all samples of the estimate, in the second step here."""
    from hpc_wgf.diagnostics import error_monitor

    made = []

    class Failing(Galerkin):
        def __init__(self, basis, seen):
            made.append(seen)
            if len(made) == 6:
                raise torch.linalg.LinAlgError("not positive definite")
            super().__init__(basis, seen)

    monkeypatch.setattr(error_monitor, "Galerkin", Failing)
    problem = wgf.Problem(wgf.Entropy(1.0), wgf.Gaussian(2), 0.2)
    options = wgf.PWGFOptions(samples=300, step_size=0.05)
    summary = wgf.solve(problem, wgf.Affine(2), options, wgf.Output(every=0.05)).summary
    assert len(made) > 6
    assert summary.finished
    told = [value is not None for value in summary.error_estimate_relative]
    assert told == [False, True, False, False, False]
    assert None not in summary.error_bound_relative[1:]
