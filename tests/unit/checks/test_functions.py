"""Functions of a user that do something else than map samples to values: one line names them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import hpc_wgf as wgf


def solved(potential, start=None, energy=(), observers=()) -> wgf.Summary:
    parts = [wgf.PotentialEnergy(wgf.UserPotential(potential, "mine")), *energy, wgf.Entropy(1.0)]
    problem = wgf.Problem(parts, start or wgf.Gaussian(2), until=0.02)
    method = wgf.PWGFOptions(samples=100, step_size=0.01)
    output = wgf.Output(every=0.02)
    return wgf.solve(problem, wgf.Affine(2), method, output, observers=observers).summary


def half_square(x):
    return 0.5 * (x * x).sum(1)


def in_place(x):
    x -= 1.0
    return half_square(x)


def in_place_data(x):
    x.data.clamp_(-1.0, 1.0)
    return half_square(x)


def ending(x):
    sys.exit(0)


class NoException(BaseException):
    pass


def raising(error):
    def function(x):
        raise error

    return function


class Counting:
    """Another potential at each call."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return self.calls * half_square(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (in_place, "the potential mine changes the samples that it is given"),
        (in_place_data, "the potential mine changes the samples that it is given"),
        (lambda x: half_square(x)[:, None], r"returned shape \(\d+, 1\) .* expected one value per"),
        (lambda x: half_square(x).sum(), r"returned shape \(\) for samples"),
        (lambda x: np.zeros(len(x)), "returned a numpy.ndarray .* by torch functions"),
        (lambda x: torch.from_numpy((x.numpy() ** 2).sum(1)), "Can't call numpy"),
        (lambda x: half_square(x).float(), "returned float32 on cpu for samples in float64"),
        (lambda x: (x > 0).sum(1), "returned int64"),
        (lambda x: half_square(x).to(torch.complex128), "returned complex128"),
        (lambda x: torch.empty(len(x), device="meta"), "returned float64 on meta"),
        (lambda x: half_square(x).detach(), "its force would be 0"),
        (lambda x: half_square(x) + x[:, 0].detach() ** 2, "gradient .* is not that of the values"),
        (lambda x: (half_square(x), x), r"returned a tuple of 2 \(Tensor, Tensor\)"),
        (lambda x: None, "returned None"),
        (lambda x, t: x[:, 0] * t, "takes x and t, and this one does not depend on time"),
        (lambda x, y, t: x, "takes .*: give a function of x, or of x and t"),
        (lambda x: half_square(x) + 1e-3 * torch.randn(len(x)), "another value when it is eval"),
        (Counting(), "another value when it is evaluated again"),
        (lambda x: half_square(x) + x[:, 0] * x[:, 0].roll(1), "in the company of others"),
        (raising(ZeroDivisionError("so")), "ZeroDivisionError: so"),
        (ending, r"the potential mine ends the program, by sys.exit\(0\)"),
        (raising(NoException("now")), r"ends the program, by NoException\('now'\)"),
    ],
)  # fmt: skip
def test_a_function_that_is_no_potential_is_refused(function, message):
    with pytest.raises(wgf.InputError, match=message) as refused:
        solved(function)
    assert "\n" not in str(refused.value)


def test_that_it_is_one_part_of_a_sum_hides_nothing():
    """A gradient of 0 was added without a word, as the sum of both has one."""
    mine = wgf.UserPotential(lambda x: half_square(x).detach(), "mine")
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.Quadratic(2) + mine), wgf.Entropy(1.0)], wgf.Gaussian(2), until=1
    )
    with pytest.raises(
        wgf.InputError, match="mine returned values that torch cannot differentiate"
    ):
        wgf.solve(problem, wgf.Affine(2), wgf.PWGFOptions(samples=100))


def test_ctrl_c_in_a_function_stays_what_it_is():
    with pytest.raises(KeyboardInterrupt):
        solved(raising(KeyboardInterrupt()))


def test_what_ends_the_program_later_ends_the_run_with_an_error():
    late = Counting()

    def function(x):
        late(x)
        return ending(x) if late.calls > 60 else half_square(x)

    with pytest.raises(wgf.RunError, match="mine ends the program"):
        solved(function)


def test_a_function_gets_samples_of_its_own():
    """What it does to them later, where no check sees it, does not move the run's particles."""
    calls = Counting()

    def function(x):
        calls(x)
        value = half_square(x)
        if calls.calls > 60 and not x.requires_grad:
            x.zero_()
        return value

    seen = []
    for each in (half_square, function):
        rows = Rows()
        solved(each, wgf.Gaussian(2, 1.0), observers=[rows])
        seen.append(torch.cat(rows.particles))
    assert calls.calls > 70
    assert torch.equal(*seen)


class Rows:
    """Keeps the particles of every row."""

    def __init__(self) -> None:
        self.particles: list[torch.Tensor] = []

    def on_row(self, row):
        self.particles.append(row.particles.clone())

    def on_step(self, step):
        pass

    def on_stop(self, state, memory, seconds):
        pass

    def on_end(self):
        pass


class Density(wgf.Gaussian):
    """N(0, I) with a mistake in one of its functions."""

    def __init__(self, mistake: str) -> None:
        super().__init__(2)
        self.mistake = mistake

    def sample(self, random, count):
        if self.mistake == "torch random":
            random.manual_seed(0)
        return super().sample(random, count)

    def log_density(self, z):
        if self.mistake == "ends":
            sys.exit()
        if self.mistake == "changes":
            z -= 0.0 * z + 1.0
        return (
            super().log_density(z).float() if self.mistake == "single" else super().log_density(z)
        )


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (
            "torch random",
            "cannot be sampled and evaluated: AttributeError.* numpy's random numbers",
        ),
        ("ends", r"log_density of the start density .* ends the program, by sys.exit\(None\)"),
        ("changes", "start density .* changes the samples that it is given"),
        ("single", "log density of the start density .* returned float32"),
    ],
)
def test_a_start_density_with_a_mistake_is_refused(mistake, message):
    with pytest.raises(wgf.InputError, match=message):
        solved(half_square, start=Density(mistake))


class Quartic:
    """F = ∫ |x|⁴/4 ρ, with a mistake."""

    needs_density = False

    def __init__(self, mistake: str) -> None:
        self.mistake = mistake

    def __repr__(self) -> str:
        return "Quartic"

    def integrand(self, x, log_density):
        value = (x * x).sum(1) ** 2 / 4
        return value[:, None] if self.mistake == "column" else value

    def force(self, cloud):
        x = cloud.x
        if self.mistake == "changes":
            x *= 2.0
        if self.mistake == "ends":
            raise SystemExit(3)
        return (x * x).sum(1) if self.mistake == "scalar" else (x * x).sum(1, keepdim=True) * x


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("column", r"the value of Quartic returned shape \(\d+, 1\)"),
        ("scalar", r"the force of Quartic returned shape \(\d+,\) .* expected 2 values per sample"),
        ("changes", "Quartic changes the samples that it is given"),
        ("ends", r"Quartic .* ends the program, by sys.exit\(3\)"),
    ],
)
def test_an_energy_with_a_mistake_is_refused(mistake, message):
    with pytest.raises(wgf.InputError, match=message):
        solved(half_square, energy=[Quartic(mistake)])


@pytest.mark.parametrize("given", [3, "drmod:V", Quartic, None])
def test_a_potential_is_made_of_what_can_be_called(given):
    with pytest.raises(wgf.InputError, match="was given as a potential: expected a torch function"):
        wgf.UserPotential(given)


@pytest.mark.parametrize(("constant", "dimension"), [(1e6, 2), (1e7, 10)])
def test_a_large_constant_in_single_precision_is_no_other_derivative(constant, dimension):
    """Differences of the values are 0 beside it; torch's gradient is right."""
    V = wgf.UserPotential(lambda x: half_square(x) + constant, "minus log posterior")
    problem = wgf.Problem(
        [wgf.PotentialEnergy(V), wgf.Entropy(1.0)], wgf.Gaussian(dimension), until=0.02
    )
    method = wgf.PWGFOptions(samples=100, step_size=0.01, dtype="float32")
    assert wgf.solve(problem, wgf.Affine(dimension), method).summary.finished
