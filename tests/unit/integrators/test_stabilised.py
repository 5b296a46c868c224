"""Runge–Kutta–Chebyshev steps: order, stability, error estimate, spectral radius."""

from __future__ import annotations

import gc
import math

import pytest
import torch
from torch import Tensor

from hpc_wgf.integrators import (
    TABLEAUX,
    chebyshev_error,
    chebyshev_step,
    largest_step,
    runge_kutta_step,
    spectral_radius,
    stages_for,
)


def pendulum(y: Tensor, after: float = 0.0) -> Tensor:
    return torch.stack([y[1], -torch.sin(y[0])])


def norm(v: Tensor) -> float:
    return float(v.double().norm())


def slope(sizes: list[float], errors: list[float]) -> float:
    return math.log(errors[-1] / errors[0]) / math.log(sizes[-1] / sizes[0])


def laplacian(points: int) -> Tensor:
    """Second differences on (0, 1) with zero ends; eigenvalues −4 sin²(kπh/2)/h²."""
    off = torch.ones(points - 1)
    return (off.diag(1) + off.diag(-1) - 2 * torch.eye(points)) * (points + 1) ** 2


@pytest.mark.parametrize("stages", [2, 3, 7, 20])
def test_order(stages):
    def end(steps: int) -> Tensor:
        y = torch.tensor([1.2, 0.3])
        for _ in range(steps):
            y = chebyshev_step(pendulum, y, pendulum(y), 1.0 / steps, stages)
        return y

    counts, exact = [10, 20, 40, 80], torch.tensor([1.2, 0.3])
    for _ in range(400):
        exact, _ = runge_kutta_step(pendulum, exact, pendulum(exact), 1 / 400, TABLEAUX["rk4"])
    errors = [norm(end(n) - exact) for n in counts]
    assert slope([1 / n for n in counts], errors) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("stages", [2, 3, 7, 20])
def test_error_estimate_follows_the_error_of_a_step(stages):
    """It falls as h³, and is at most twice the error."""
    y, sizes, norms = torch.tensor([1.2, 0.3]), [0.1, 0.05, 0.025, 0.0125], []
    for h in sizes:
        after = chebyshev_step(pendulum, y, pendulum(y), h, stages)
        norms.append(norm(chebyshev_error(y, after, pendulum(y), pendulum(after), h)))
    assert slope(sizes, norms) == pytest.approx(3.0, abs=0.15)
    exact = y
    for _ in range(100):
        part = sizes[-1] / 100
        exact, _ = runge_kutta_step(pendulum, exact, pendulum(exact), part, TABLEAUX["rk4"])
    assert 1.15 < norms[-1] / norm(after - exact) < 1.85


def test_error_estimate_against_the_exact_solution():
    """Between exact values, 0.8 (y − y₊) + 0.4 h (f + f₊) = h³y'''/15 + O(h⁴); here y = e^{−t}."""
    for h in (0.1, 0.01):
        y, after = torch.ones(1), torch.full((1,), math.exp(-h))
        assert float(chebyshev_error(y, after, -y, -after, h)) == pytest.approx(-(h**3) / 15, rel=h)


def test_stable_up_to_the_largest_step_and_not_much_beyond():
    """|y₊| ≤ |y| for every eigenvalue in [−σ, 0], damped where the step is stiff."""
    rates = torch.linspace(0.0, 1.0, 4001)
    for stages in range(2, 51):
        y, h = torch.ones_like(rates), largest_step(stages, 1.0)
        after = chebyshev_step(lambda v, _: -rates * v, y, -rates * y, h, stages)
        assert float(after.abs().max()) <= 1.0
        if stages > 2:
            assert float(after[h * rates > 3.0].abs().max()) <= 0.96
        beyond = chebyshev_step(lambda v, _: -v, y, -y, 1.3 * h, stages)
        assert float(beyond.abs().max()) > 1.3


@pytest.mark.parametrize("stages", [5, 50])
def test_many_steps_at_the_largest_one_and_at_more(stages):
    rates = torch.linspace(0.0, 1.0, 401)
    for factor in (1.0, 1.1):
        y, h = torch.ones_like(rates), factor * largest_step(stages, 1.0)
        for _ in range(100):
            y = chebyshev_step(lambda v, _: -rates * v, y, -rates * y, h, stages)
        assert (float(y.abs().max()) <= 1.0) == (factor == 1.0)


@pytest.mark.parametrize("h", [2e-4, 2e-3])
def test_heat_equation_takes_the_automatic_number_of_stages(h):
    A = laplacian(200)
    x = torch.linspace(0, 1, 202)[1:-1]
    y = torch.sin(math.pi * x) + torch.sin(3 * math.pi * x) ** 3
    exact = torch.matrix_exp(20 * h * A) @ y
    sigma = 4.0 * 201**2
    stages = stages_for(h, sigma)
    assert stages == math.ceil(math.sqrt(1.54 * h * sigma + 1))
    for _ in range(20):
        y = chebyshev_step(lambda v, _: A @ v, y, A @ y, h, stages)
    assert norm(y - exact) <= (0.15 * h / 2e-3) ** 2 * norm(exact)


@pytest.mark.parametrize("sigma", [1.0, 37.0, 1e6])
def test_the_number_of_stages_is_the_least_that_suffices(sigma):
    for stages in range(2, 300):
        h = largest_step(stages, sigma)
        assert stages_for(h, sigma) == stages
        assert stages_for(h * (1 - 1e-9), sigma) == stages
        assert stages_for(h * (1 + 1e-9), sigma) == stages + 1


def test_the_number_of_stages_at_the_ends():
    assert stages_for(1.0, 0.0) == stages_for(0.0, 1.0) == 2
    assert largest_step(5, 0.0) == math.inf
    for sigma in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match="finite"):
            stages_for(1.0, sigma)
    with pytest.raises(ValueError, match="at least 2 stages"):
        chebyshev_step(pendulum, torch.ones(2), torch.ones(2), 0.1, 1)


@pytest.mark.parametrize("stages", [2, 3, 7])
def test_holds_five_vectors_whatever_the_number_of_stages(stages):
    held = []

    def rhs(v: Tensor, after: float = 0.0) -> Tensor:
        held.append(sum(type(o) is Tensor and o.numel() == 1237 for o in gc.get_objects()))
        return -v

    y = torch.ones(1237)
    chebyshev_step(rhs, y, -y, 0.1, stages)
    assert len(held) == stages - 1
    assert max(held) <= 5


def test_arguments_are_left_alone_and_failures_pass_through():
    y = torch.tensor([1.2, 0.3])
    first, before = pendulum(y), y.clone()
    chebyshev_step(pendulum, y, first, 0.1, 5)
    assert torch.equal(y, before)
    assert torch.equal(first, pendulum(before))

    def fails(v: Tensor, after: float = 0.0) -> Tensor:
        raise ArithmeticError("folded")

    with pytest.raises(ArithmeticError, match="folded"):
        chebyshev_step(fails, y, first, 0.1, 5)
    with pytest.raises(ArithmeticError, match="folded"):
        spectral_radius(fails, y, first, norm)


def test_rounding_is_that_of_the_step_and_not_that_of_y():
    """In float32, 50 stages once left 4e-4 of a y near 5: about s² epsilons of y."""
    rates, stages = torch.logspace(-2, 4, 500), 50
    y, h = 5 + torch.randn(500), largest_step(50, 1e4)

    def rhs(v: Tensor, after: float = 0.0) -> Tensor:
        return -rates.to(v) * (v - 5)

    exact = chebyshev_step(rhs, y.float().double(), rhs(y.float().double()), h, stages)
    single = chebyshev_step(rhs, y.float(), rhs(y.float()), h, stages)
    assert float((single - exact).abs().max()) < 5e-5


def symmetric(name: str) -> Tensor:
    """−A with a known spectrum, in a random basis."""
    values = {
        "heat": 2 - 2 * torch.cos(math.pi * torch.arange(1, 201) / 201),
        "decades": torch.logspace(0, -6, 200),
        "lone": torch.cat([torch.tensor([30.0]), torch.rand(199)]),
        "uniform": torch.linspace(0, 1, 200),
    }[name]
    Q, _ = torch.linalg.qr(torch.randn(200, 200))
    return -(Q * values) @ Q.T


SPECTRA = ["heat", "decades", "lone", "uniform"]


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("start", ["slope", "stale"])
def test_spectral_radius_is_neither_missed_nor_far_exceeded(name, noise, start):
    """Within [1, 1.2] times the radius, rounding of f included: 3 % below and above."""
    A = symmetric(name)
    values, vectors = torch.linalg.eigh(A)
    radius = float(values.abs().max())

    def rhs(v: Tensor, after: float = 0.0) -> Tensor:
        slope = A @ v
        error = torch.randn(200)
        return slope + noise * norm(slope) * error / norm(error)

    calls = []

    def counted(v: Tensor, after: float = 0.0) -> Tensor:
        calls.append(1)
        return rhs(v)

    y = torch.randn(200)
    # A stale guess: the eigenvector in the middle of the spectrum.
    guess = vectors[:, 100].clone() if start == "stale" else None
    sigma, direction = spectral_radius(counted, y, rhs(y), norm, guess, step=3 / radius)
    assert 0.97 * radius <= sigma <= 1.03 * 1.2 * radius
    assert norm(direction) == pytest.approx(1.0)
    assert len(calls) <= 6


@pytest.mark.parametrize("name", ["decades", "lone"])
def test_a_good_guess_needs_three_evaluations(name):
    A = symmetric(name)
    values, vectors = torch.linalg.eigh(A)
    calls = []

    def rhs(v: Tensor, after: float = 0.0) -> Tensor:
        calls.append(1)
        return A @ v

    y = torch.randn(200)
    sigma, _ = spectral_radius(rhs, y, rhs(y), norm, vectors[:, 0])
    assert sigma == pytest.approx(1.2 * float(values.abs().max()), rel=0.05)
    assert len(calls) == 3 + 1


def test_evaluations_are_capped():
    A, y, calls = symmetric("uniform"), torch.randn(200), []

    def rhs(v: Tensor, after: float = 0.0) -> Tensor:
        calls.append(1)
        return A @ v

    spectral_radius(rhs, y, A @ y, norm, change=0.0)
    assert len(calls) == 6


def test_an_eigenvector_as_start_does_not_hide_a_larger_eigenvalue():
    """f(y) is one where the solution is smooth; the quotient would be its eigenvalue for ever."""
    A = symmetric("heat")
    values, vectors = torch.linalg.eigh(A)
    y = vectors[:, -1].clone()
    sigma, _ = spectral_radius(lambda v, _: A @ v, y, A @ y, norm)
    assert sigma >= 0.97 * float(values.abs().max())


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_near_y_equal_to_zero_the_step_sets_the_perturbation(scale):
    """θ = 0 is the identity map: √δ |y| alone would drown in the errors of f."""
    A = symmetric("uniform")
    shift = torch.randn(200)

    def rhs(v: Tensor, after: float = 0.0) -> Tensor:
        slope = A @ v + shift
        return slope * (1 + 1e-4 * torch.randn(200))

    y = 1e-9 * scale * torch.randn(200)
    sigma, _ = spectral_radius(rhs, y, rhs(y), norm, step=5.0)
    assert 0.97 <= sigma <= 1.24


@pytest.mark.parametrize("name", ["cubic", "metric"])
def test_spectral_radius_in_other_settings(name):
    """A nonlinear f, and a norm other than the Euclidean in which f' is symmetric."""
    y = torch.linspace(0.5, 1.0, 50)
    if name == "cubic":  # −3y² on the diagonal, of curvature comparable with itself
        sigma, _ = spectral_radius(lambda v, _: -(v**3), y, -(y**3), norm, step=1.0)
        assert 0.9 * 3 <= sigma <= 1.25 * 3
        return
    G = torch.logspace(0, -4, 50)
    Q, _ = torch.linalg.qr(torch.randn(50, 50))
    H = (Q * torch.linspace(0.1, 1, 50)) @ Q.T * (G.sqrt()[:, None] * G.sqrt())
    radius = float(torch.linalg.eigvals(H / G[:, None]).abs().max())
    sigma, _ = spectral_radius(
        lambda v, _: -(H @ v) / G, y, -(H @ y) / G, lambda v: float((G * v * v).sum().sqrt())
    )
    assert 0.97 * radius <= sigma <= 1.24 * radius


def test_spectral_radius_is_deterministic_and_takes_odd_inputs():
    A = symmetric("uniform")
    y = torch.randn(200)
    runs = [spectral_radius(lambda v, _: A @ v, y, A @ y, norm) for _ in range(2)]
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])
    constant = torch.ones(200)
    assert spectral_radius(lambda v, _: constant, y, constant, norm)[0] == 0.0
    zero = torch.zeros(200)
    assert spectral_radius(lambda v, _: A @ v, zero, zero, norm)[0] == pytest.approx(1.1, abs=0.13)
    assert math.isnan(spectral_radius(lambda v, _: v * math.nan, y, y, norm)[0])
