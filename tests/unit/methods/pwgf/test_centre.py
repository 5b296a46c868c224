"""The centre of mass of flows that no translation changes: it stays where it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from watching import Watching

import hpc_wgf as wgf
from hpc_wgf.problems import SumOfEnergies

RING = wgf.InteractionEnergy(wgf.PowerLaw(4, 2))
PAIRS = wgf.InteractionEnergy(wgf.PowerLaw(4, 2), route=wgf.Route.PAIRS)
SINGLE = wgf.InteractionEnergy(wgf.GaussianKernel(1.0, 0.8))
BATCHES = wgf.InteractionEnergy(wgf.GaussianKernel(1.0, 0.8), route=wgf.Route.BATCHES, batch=16)
GAUSSIAN = wgf.Gaussian(1, 1.25, 0.36)
LOPSIDED = wgf.Mixture([wgf.Gaussian(1, 0.0, 0.1), wgf.Gaussian(1, 2.0, 0.3)], [0.7, 0.3])
FIXED = {"step_size": 0.25}
ADAPTIVE = {"step_size": 0.1, "scheme": "kutta32", "tolerance": 1e-2}


class Particles(Watching):
    """An observer that keeps the evaluation sample of every row."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []

    def on_row(self, row) -> None:
        self.rows.append(row.particles.double().clone())


def run(energy, start, options, until=10.0, map=None, output=None):
    """The particles of every row, and the solution."""
    problem = wgf.Problem(energy, start, until=until)
    method = wgf.PWGFOptions(**{"samples": 400, "rtol": 1e-3, **options})
    watch = Particles()
    solution = wgf.solve(
        problem,
        map or wgf.Affine(1),
        method,
        output or wgf.Output(every=until / 4),
        observers=[watch],
    )
    return watch.rows, solution


def spread(x: Tensor) -> float:
    return float((x - x.mean(0)).square().sum(1).mean().sqrt())


@pytest.mark.parametrize(
    ("energy", "start", "options", "map"),
    [
        ([RING], GAUSSIAN, FIXED, wgf.Affine(1)),
        ([PAIRS], LOPSIDED, ADAPTIVE, wgf.Affine(1)),
        ([SINGLE], GAUSSIAN, ADAPTIVE, wgf.Composition(wgf.Affine(1), wgf.BlockFlow(1, 4))),
        ([BATCHES], GAUSSIAN, FIXED, wgf.Affine(1)),
        ([RING, wgf.Entropy(0.1)], GAUSSIAN, ADAPTIVE, wgf.Affine(1)),
        ([SINGLE, wgf.InternalEnergy(2.0, 0.2)], wgf.Box(1, 0.5, 2.0, 0.5), ADAPTIVE,
         wgf.Affine(1)),
        ([RING], GAUSSIAN, {"dtype": "float32", **FIXED}, wgf.Affine(1)),
        ([RING], GAUSSIAN, {"solver": "lsmr", "scheme": "euler", **FIXED}, wgf.Affine(1)),
    ],
    ids=["moments", "pairs", "kernel", "batches", "entropy", "internal", "float32", "euler"],
)  # fmt: skip
def test_the_centre_stays(energy, start, options, map):
    """Within a thousandth of the spread, to t = 10; and that of the density within four standard
    errors of a sample."""
    rows, solution = run(energy, start, options, map=map)
    for x in rows[1:]:
        assert float((x.mean(0) - rows[0].mean(0)).norm()) < 1e-3 * spread(x)
    z = start.sample(np.random.default_rng(3), 200_000)
    moved = solution.state(z.to(solution.state.theta)).double() - z
    assert float(moved.mean(0).norm()) < 4 * spread(moved) / len(rows[0]) ** 0.5


def test_what_a_translation_changes_has_no_centre_to_keep():
    potential = wgf.PotentialEnergy(wgf.Quadratic(1))
    assert SumOfEnergies([RING, wgf.Entropy(1.0)]).keeps_centre
    assert not SumOfEnergies([RING, potential]).keeps_centre
    assert not SumOfEnergies([wgf.Entropy(1.0)]).keeps_centre
    rows, _ = run([RING, potential], GAUSSIAN, FIXED, until=2.0)
    error = 4 * 0.6 / len(rows[-1]) ** 0.5
    assert float(rows[-1].mean()) == pytest.approx(1.25 * np.exp(-2.0), abs=error * np.exp(-2.0))


class Stretch(nn.Module):
    """z ↦ (1 + a) z, which moves no centre."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        return z + self.a * z


def test_a_map_without_translations_moves_as_before(monkeypatch):
    def theta() -> Tensor:
        _, solution = run([RING], wgf.Gaussian(1), FIXED, 2.0, wgf.ModuleMap(1, Stretch()))
        return solution.state.theta

    held = theta()
    monkeypatch.setattr(SumOfEnergies, "keeps_centre", False)
    assert torch.equal(held, theta())


def test_few_particles_do_not_hold_the_density():
    """The mean of four particles is not that of the density."""
    rows, solution = run(
        [SINGLE], wgf.Gaussian(1, 1.0, 0.5), FIXED, output=wgf.Output(every=10.0, particles=4)
    )
    z = wgf.Gaussian(1, 1.0, 0.5).sample(np.random.default_rng(3), 100_000)
    assert abs(float(solution.state(z).mean()) - 1.0) < 4 * (0.5 / 400) ** 0.5
    assert abs(float((rows[-1] - rows[0]).mean())) > 0.1


def test_a_resumed_run_keeps_the_same_centre_to_the_bit(tmp_path):
    problem = wgf.Problem([PAIRS], LOPSIDED, until=1.0)
    map = wgf.Composition(wgf.Affine(1), wgf.BlockFlow(1, 4))
    method = wgf.PWGFOptions(samples=200, rtol=1e-3, **ADAPTIVE)
    whole = wgf.solve(problem, map, method, wgf.Output(tmp_path / "whole", every=0.25))
    torn = wgf.Output(tmp_path / "torn", every=0.25)
    wgf.solve(problem.replace(until=0.5), map, method, torn)
    resumed = wgf.solve(problem, map, method, torn, resume=True)
    assert torch.equal(whole.state.theta, resumed.state.theta)
