"""Implicit steps against exact proximal steps, exact flows, and their own orders."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from stores import assert_same
from watching import Watching

import hpc_wgf as wgf
from hpc_wgf.config import build, load
from hpc_wgf.interactions import Power
from hpc_wgf.methods.base import Setting
from hpc_wgf.methods.implicit import Implicit
from hpc_wgf.parallel import LocalCommunicator


def scaling(d: int, seed: int = 0) -> wgf.Problem:
    return build(load("ou-scaling", [f"problem.dimension={d}", f"problem.energy.0.seed={seed}"]))[0]


MOBILE = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, [1.0, 0.5])), wgf.Entropy(1.0)], wgf.Gaussian(2),
    until=0.4, mobility=wgf.MatrixMobility(2, [[1.0, 0.3], [0.3, 0.5]]),
    drift=wgf.LinearDrift(2, [[0.0, 0.5], [-0.5, 0.0]], sine=0.5),
)  # fmt: skip


class Steps(Watching):
    """The figures of all steps."""

    def __init__(self) -> None:
        self.figures = []

    def on_step(self, step) -> None:
        self.figures.append(step.figures)


def solve(problem, map=None, **options):
    """The solution, and the figures of its steps."""
    steps = Steps()
    output = wgf.Output(every=problem.until - problem.start_time, bound=False)
    method = wgf.ImplicitOptions(**{"samples": 100} | options)
    map = wgf.Affine(problem.dimension) if map is None else map
    return wgf.solve(problem, map, method, output, observers=[steps]), steps.figures


def affine(solution) -> tuple[torch.Tensor, torch.Tensor]:
    map = solution.map
    return map.A.detach() + torch.eye(map.dimension, dtype=map.A.dtype), map.b.detach()


def symmetric_kl(a, b) -> float:
    (m, C), (n, D) = a, b
    shift, back, there = m - n, torch.linalg.inv(C), torch.linalg.inv(D)
    square = torch.trace(there @ C) + torch.trace(back @ D) + shift @ (back + there) @ shift
    return 0.5 * float(square) - len(m)


def test_euler_is_the_exact_step_of_jordan_kinderlehrer_and_otto():
    """From N(0, I) in V = ½ xᵀQx + cᵀx, β = 1: deviations s along the axes of Q solve
    1 = s + h(qs − 1/s), the mean is −h(I + hQ)⁻¹c."""
    problem, h = scaling(2).replace(until=0.05), 0.05
    A, b = affine(solve(problem, scheme="euler", step_size=h, rtol=1e-12)[0])
    potential = problem.energy.potential()
    q, axes = torch.linalg.eigh(potential.hessian().double())
    s = (1 + (1 + 4 * (1 + h * q) * h).sqrt()) / (2 * (1 + h * q))
    assert float((A - axes @ torch.diag(s) @ axes.T).abs().max()) < 1e-10
    c = potential.gradient(torch.zeros(1, 2, dtype=torch.float64))[0]
    system = torch.eye(2, dtype=torch.float64) + h * potential.hessian()
    assert float((b + h * torch.linalg.solve(system, c)).abs().max()) < 1e-10


@pytest.mark.parametrize(("d", "seed"), [(2, 2), (8, 0)])  # the worst of three matrices each
def test_the_law_of_an_ornstein_uhlenbeck_flow(d, seed):
    problem = scaling(d, seed)
    A, b = affine(solve(problem, step_size=0.05, rtol=1e-6)[0])
    assert symmetric_kl((b, A @ A.T), problem.exact.law(1.0)) < 1e-7


@pytest.mark.parametrize(
    ("problem", "order", "options"),
    [
        (scaling(2).replace(until=0.2), 1, {"scheme": "euler"}),
        (scaling(2).replace(until=0.2), 2, {}),
        (MOBILE, 2, {}),
    ],
    ids=["euler", "sdirk2", "a mobility and a drift that moves"],
)
def test_orders(problem, order, options):
    assert problem.exact is not None
    errors = [
        solve(problem, step_size=problem.until / n, rtol=1e-7, **options)[
            0
        ].summary.map_error_relative[-1]
        for n in (4, 8)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15), errors


def stiff(rate: float) -> wgf.Problem:
    quadratic = wgf.PotentialEnergy(wgf.Quadratic(2, 0.0, [1.0, 1.0 / rate]))
    return wgf.Problem(
        [quadratic, wgf.Entropy(1.0)], wgf.Gaussian(2, mean=[1.0, 1.0]), until=2.0
    )  # fmt: skip


def test_stiffness_costs_neither_steps_nor_products():
    """Twenty steps, though the shortest time of the flow is 1e-2 or 1e-6 of one."""
    work = {}
    for rate in (1e2, 1e6):
        solution, steps = solve(stiff(rate), step_size=0.1, rtol=1e-6)
        assert len(steps) == 20
        assert solution.summary.map_error_relative[-1] < 2e-4
        work[rate] = sum(step["products"] for step in steps)
    assert max(work.values()) < 2 * min(work.values())


@pytest.mark.parametrize("forward", ["none", "interactions"])
def test_interactions_implicit_and_forward(forward):
    """Order two on the same samples for all steps, whose noise is then the same for all sizes."""
    parts = [wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.InteractionEnergy(Power(2.0), 1.0)]
    problem = wgf.Problem([*parts, wgf.Entropy(0.5)], wgf.Gaussian(2), until=0.2)
    options = {"rtol": 1e-7, "forward": forward, "redraw": "stage"}
    found = [solve(problem, step_size=h, **options)[0].state.theta for h in (0.1, 0.05, 0.025)]
    coarse, fine = (float((a - b).norm()) for a, b in pairwise(found))
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.3), (coarse, fine)


@pytest.mark.parametrize("after", [3])
def test_it_is_resumed_to_the_bit(tmp_path, after):
    problem = stiff(100.0).replace(until=0.4)

    def run(path, **options):
        map, method = wgf.Affine(2), wgf.ImplicitOptions(samples=60, step_size=0.1, rtol=1e-4)
        return wgf.solve(problem, map, method, wgf.Output(path, every=0.2), **options)

    run(tmp_path / "whole")
    steps = []
    assert not run(
        tmp_path / "parts", stop=lambda: steps.append(None) or len(steps) == after
    ).summary.finished
    run(tmp_path / "parts", resume=True)
    assert_same(wgf.open_run(tmp_path / "parts"), wgf.open_run(tmp_path / "whole"))


def test_a_long_step_in_a_concave_potential_is_warned_of():
    well = wgf.PotentialEnergy(wgf.DoubleWell())
    problem = wgf.Problem([well, wgf.Entropy(0.5)], wgf.Gaussian(2), until=2.0)
    for step, warned in ((2.0, True), (0.05, False)):
        method = wgf.ImplicitOptions(samples=50, step_size=step, scheme="euler")
        setting = Setting.of(problem, wgf.Affine(2), method, LocalCommunicator())
        warnings = Implicit(setting, method).warnings()
        assert bool(warnings) is warned
        assert not warned or "is longer than 1/|κ|" in warnings[0]


@pytest.mark.parametrize(
    ("options", "parts", "more", "said"),
    [
        ({"scheme": "euler", "tolerance": 0.1}, (), {}, "no error estimate"),
        ({"rtol": 1e-15}, (), {}, "below what float64 resolves"),
        ({"forward": "interactions"}, (), {}, "has nothing to take forward"),
        (
            {}, (), {"mobility": wgf.MatrixMobility(2, 2.0), "inner_product": "plain"},
            "natural inner product",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(options, parts, more, said):
    potential = wgf.PotentialEnergy(wgf.Quadratic(2))
    problem = wgf.Problem([potential, *parts], wgf.Gaussian(2), until=0.1, **more)
    with pytest.raises(wgf.InputError, match=said):
        solve(problem, **options)
