"""The objective of a step: against values by hand, and its gradient against differences."""

from __future__ import annotations

import math

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.interactions.kernels import Power
from hpc_wgf.maps.velocity_networks import BlockVelocity
from hpc_wgf.methods.deep_jko.objective import Coordinates, StepObjective
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import MobilityFunction

N, H = 40, 0.1
C = torch.tensor([0.3, -0.2], dtype=torch.float64)


def samples_of(start):
    z = torch.randn(N, 2, generator=torch.Generator().manual_seed(0))
    clouds = [Cloud(part, start.log_density(part), start.score(part)) for part in z.split(N // 2)]
    return Ensemble(clouds, [[N // 2, N // 2]], LocalCommunicator())


def objective_of(parts, network, *, mobility=None, speed=1.0, flow_steps=2):
    problem = wgf.Problem(parts, wgf.Gaussian(2), 1.0, mobility=mobility)
    coordinates = Coordinates(torch.tensor([0.1, 0.2]), 1.5, speed)
    return StepObjective(
        samples_of(problem.start), problem.at(0.0), coordinates, size=H, network=network,
        flow_steps=flow_steps,
    )  # fmt: skip


def shift(move):
    """u = c."""
    network = BlockVelocity(2, 3)
    network.b.data.copy_(move / 1.5)
    return network


@pytest.mark.parametrize(
    ("mobility", "action"),
    [
        (None, lambda z: C @ C),
        (wgf.MatrixMobility(2, [[2.0, 0.5], [0.5, 1.0]]),
         lambda z: C @ torch.linalg.solve(torch.tensor([[2.0, 0.5], [0.5, 1.0]]), C)),
        (wgf.CovarianceMobility(),
         lambda z: C @ torch.linalg.solve(z.T.cov(correction=0), C)),
        (MobilityFunction(lambda rho: 2 * rho, "double"), lambda z: C @ C / 2),
        (wgf.Saturating(0.5), lambda z: C @ C * (
            1 / (1 - wgf.Gaussian(2).log_density(z).exp() / 0.5)).mean()),
    ],
    ids=["none", "matrix", "covariance", "function", "saturating"],
)  # fmt: skip
def test_of_a_shift_everything_is_known(mobility, action):
    """ρ along the paths does not change, nor does the covariance."""
    objective = objective_of(
        [wgf.PotentialEnergy(wgf.Quadratic(2, 0.0, 1.0)), wgf.Entropy(0.7)], shift(C),
        mobility=mobility,
    )  # fmt: skip
    z = torch.cat(samples_of(wgf.Gaussian(2)).points)
    found = objective.figures()
    energy = 0.5 * (z + C).square().sum(1) + 0.7 * wgf.Gaussian(2).log_density(z)
    assert found.action == pytest.approx(float(action(z)), rel=1e-12)
    assert found.objective == pytest.approx(found.action / (2 * H) + float(energy.mean()))
    assert found.log_det_error < 1e-15
    assert found.lost == 0


def test_of_a_growth_density_and_log_determinant_are_known():
    """u = a (x − m): ρ falls by e^{2a}; the porous medium's energy with it."""
    network, a = BlockVelocity(2, 3), 0.2
    network.A.data.copy_(a * torch.eye(2))
    found = objective_of([wgf.InternalEnergy(2.0)], network, flow_steps=8).figures()
    z = torch.cat(samples_of(wgf.Gaussian(2)).points)
    squares = (z - torch.tensor([0.1, 0.2])).square().sum(1).mean()
    action = a**2 * float(squares) * (math.e ** (2 * a) - 1) / (2 * a)
    energy = float(wgf.Gaussian(2).log_density(z).exp().mean()) * math.e ** (-2 * a)
    assert found.action == pytest.approx(action, rel=1e-6)
    assert found.objective == pytest.approx(action / (2 * H) + energy, rel=1e-6)


def test_the_mobility_is_that_of_the_density_along_the_path():
    """P = 2ρ, and u = a (x − m): the action is a²|z − m|²/2λ · ∫ e^{4aτ} dτ."""
    network, a = BlockVelocity(2, 3), 0.2
    network.A.data.copy_(a * torch.eye(2))
    mobility = MobilityFunction(lambda rho: 2 * rho * rho, "square")
    found = objective_of([wgf.Entropy(1.0)], network, mobility=mobility, flow_steps=8).figures()
    z = torch.cat(samples_of(wgf.Gaussian(2)).points)
    squares = (z - torch.tensor([0.1, 0.2], dtype=torch.float64)).square().sum(1)
    begun = (squares / (2 * wgf.Gaussian(2).log_density(z).exp())).mean()
    action = a**2 * float(begun) * (math.e ** (4 * a) - 1) / (4 * a)
    assert found.action == pytest.approx(action, rel=1e-5)


@pytest.mark.parametrize(
    "mobility", [None, wgf.Saturating(0.5), wgf.CovarianceMobility()],
    ids=["none", "saturating", "covariance"],
)  # fmt: skip
def test_the_gradient_is_that_of_the_objective(mobility):
    parts = [
        wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(0.3), wgf.InternalEnergy(3.0, 0.5),
        wgf.InteractionEnergy(wgf.GaussianKernel(0.8)), wgf.InteractionEnergy(Power(4), 0.1),
    ]  # fmt: skip
    network, generator = BlockVelocity(2, 3), torch.Generator().manual_seed(1)
    for each in network.parameters():
        each.data += 0.2 * torch.randn(each.shape, generator=generator)
    objective = objective_of(parts, network, mobility=mobility, speed=0.4)
    parameters = list(network.parameters())
    total = sum(part() for part in objective.contributions())
    assert float(total.detach()) == pytest.approx(objective.figures().objective, rel=1e-12)
    gradient = torch.autograd.grad(total, parameters)
    direction = [torch.randn(each.shape, generator=generator) for each in parameters]
    slope = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))

    def along(step):
        for each, d in zip(parameters, direction, strict=True):
            each.data += step * d
        value = objective.figures().objective
        for each, d in zip(parameters, direction, strict=True):
            each.data -= step * d
        return value

    e = 1e-4
    differences = (8 * (along(e) - along(-e)) - (along(2 * e) - along(-2 * e))) / (12 * e)
    assert slope == pytest.approx(differences, rel=1e-8)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradient))
    assert objective.gradient_norm() == pytest.approx(norm, rel=1e-12)


def test_samples_beyond_the_limit_are_told():
    """There a fermi entropy is not a number."""
    network = BlockVelocity(2, 3)
    network.A.data.copy_(-2.0 * torch.eye(2))
    objective = objective_of([wgf.FermiEntropy(0.1)], network, mobility=wgf.Saturating(1.0))
    found = objective.figures()
    assert 0 < found.lost < N
    assert math.isfinite(found.objective)
    assert all(
        bool(each.isfinite().all())
        for part in objective.contributions()
        for each in torch.autograd.grad(part(), list(network.parameters()))
    )
