"""Derivatives that users give are held against their own values."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.checks.derivatives import check_derivatives, check_force, check_kernel
from hpc_wgf.cloud import Cloud
from hpc_wgf.config import catalogue, load
from hpc_wgf.interactions import Kernel, Morse
from hpc_wgf.parallel import samples_to_check
from hpc_wgf.problems import Potential


def cloud(start=None, dtype=torch.float64) -> Cloud:
    start = start or wgf.Gaussian(3, 1.0)
    z = samples_to_check(start.sample, 256).to(dtype)
    return Cloud(z, start.log_density(z), start.score(z))


class Quartic(Potential):
    """V = Σ (x⁴/4 + c), with a gradient by hand."""

    def __init__(self, factors=(1.0, 1.0, 1.0), constant: float = 0.0, way: str = "torch") -> None:
        self.factors, self.constant, self.way = torch.tensor(factors), constant, way

    def __call__(self, x):
        value = (x**4).sum(1) / 4 + self.constant
        if self.way == "numpy":
            return torch.from_numpy((x.detach().numpy() ** 4).sum(1) / 4 + self.constant)
        if self.way == "half detached":  # torch sees half of the gradient only
            return value / 2 + value.detach() / 2
        return value

    def gradient(self, x):
        return self.factors.to(x) * x**3


@pytest.mark.parametrize("way", ["torch", "numpy", "half detached"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("constant", [0.0, 300.0])
def test_a_right_gradient_is_accepted(way, dtype, constant):
    part = wgf.PotentialEnergy(Quartic(constant=constant, way=way))
    check_force(part, cloud(dtype=dtype))


@pytest.mark.parametrize("way", ["torch", "numpy"])
@pytest.mark.parametrize("factors", [(1.15, 1.15, 1.15), (-1.0, -1.0, -1.0)])
def test_another_gradient_is_refused(way, factors):
    """15 % off, it ran to the end and said nothing."""
    part = wgf.PotentialEnergy(Quartic(factors, way=way))
    with pytest.raises(wgf.InputError, match="gradient of the potential .* is not that of its val"):
        check_force(part, cloud())


def test_one_axis_of_many_is_found_and_named():
    part = wgf.PotentialEnergy(Quartic((1.0, 1.15, 1.0)))
    with pytest.raises(wgf.InputError, match="along axis 1 it is off by 15% in root mean square"):
        check_force(part, cloud())


def test_before_a_run_it_is_tested_in_one_line():
    problem = wgf.Problem(wgf.PotentialEnergy(Quartic((1.15,) * 3)), wgf.Gaussian(3), until=0.1)
    options = wgf.PWGFOptions(samples=100, step_size=0.05)
    with pytest.raises(wgf.InputError, match="off by 15% .* torch differentiates the values"):
        wgf.solve(problem, wgf.Affine(3), options)


class Power:
    """F = E[ρ²/2] + E[x₁ log ρ]: an energy of a user's own."""

    needs_density = True

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def integrand(self, x, log_density):
        return torch.exp(2 * log_density) / 2 + x[:, 0] * log_density

    def force(self, at):
        # ψ = 3ρ²/2 + x₁ log ρ + x₁, from which ∇ψ = (log ρ + 1) e₁ + (3ρ² + x₁) ∇ log ρ
        slope = 3 * torch.exp(2 * at.log_density) + at.x[:, 0]
        force = slope[:, None] * at.score
        force[:, 0] += at.log_density + 1
        return self.factor * force


def test_a_force_of_ones_own_belongs_to_its_integrand():
    at = cloud(wgf.Gaussian(3, 1.0, 0.3))
    check_force(Power(1.0), at)
    with pytest.raises(wgf.InputError, match="the force of .* is not ∇ δF/δρ of its integrand"):
        check_force(Power(1.1), at)


class Spring(Kernel):
    """J = |x|⁴/4 + |x|²/2 with a weight by hand."""

    def __init__(self, factor: float = 1.0, powers=None) -> None:
        self.factor, self.powers = factor, powers

    def value(self, square):
        return square**2 / 4 + square / 2

    def weight(self, square):
        return self.factor * (square + 1)

    def even_powers(self):
        return self.powers


def test_a_weight_that_is_not_the_kernels_is_refused():
    x = cloud().x
    check_kernel(Spring(), x)
    check_kernel(Spring(powers={2: 0.5, 4: 0.25}), x)
    with pytest.raises(wgf.InputError, match="weight of the kernel .* of its values: off by 15%"):
        check_kernel(Spring(1.15), x)
    with pytest.raises(wgf.InputError, match="of its even_powers"):
        check_kernel(Spring(powers={2: 0.5, 4: 0.5}), x)


@pytest.mark.parametrize(
    "kernel",
    [
        wgf.GaussianKernel(2.0, 0.1), wgf.PowerLaw(4, 2), wgf.PowerLaw(2, 0), wgf.PowerLaw(2, -1.5),
        Morse(), wgf.UserKernel(lambda square: (1 + square).log() + 3e4, "far"),
    ],
    ids=repr,
)  # fmt: skip
def test_kernels_that_are_right_are_accepted(kernel):
    check_kernel(kernel, cloud().x)


@pytest.mark.parametrize("name", catalogue.names())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_named_problems_are_accepted(name, dtype):
    problem = load(name).problem.build()
    check_derivatives(problem, cloud(problem.start, dtype))
