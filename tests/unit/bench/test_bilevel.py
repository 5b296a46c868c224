"""[PFPE] Algorithm 1 as a rival: what it minimises, its rows, what it cannot solve."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.bench.baselines import TorchFuncPWGF
from hpc_wgf.bench.bilevel import BiLevel, NetworkPotential, run_bilevel
from hpc_wgf.bench.bilevel_run import rows
from hpc_wgf.errors import InputError
from hpc_wgf.parallel import LocalCommunicator

CONTRACT = {"problem", "method", "error", "seconds", "samples", "parameters"}


def test_rows_of_the_rival_and_of_three_metrics():
    settings = ('map=[{kind="planar", layers=4}]', "problem.until=0.01")
    found = rows("ou-2d", 200, settings, LocalCommunicator(), BiLevel(outer=2, inner=2))
    assert [row["method"] for row in found] == [
        "Algorithm 1", "Algorithm 1, ψ solved exactly", "PWGF, metric pullback",
        "PWGF, metric gradient", "PWGF, metric flat",
    ]  # fmt: skip
    assert all(set(row) >= CONTRACT for row in found)
    assert {row["parameters"] for row in found} == {4 * 5}
    assert [row["steps"] for row in found] == [2] * 5
    assert found[0]["inner_steps"] == 2 * 2 * 2
    assert all(row["error"] > 0 for row in found)


def test_with_exact_inner_solves_a_step_is_that_of_jko():
    """Of an Ornstein–Uhlenbeck flow, by Adam on an affine map, whose rate leaves a few per cent of
    the displacement."""
    problem = wgf.load_problem("ou-2d", "problem.until=0.02").problem
    map = wgf.Affine(2).double()
    numbers = BiLevel(outer=150, outer_rate=5e-3, exact=True)
    assert run_bilevel(problem, map, 0.02, numbers, LocalCommunicator()) == 1
    z = torch.randn(2000, 2, dtype=torch.float64)
    exact = problem.exact(0.02, z)
    wrong = (map(z) - exact).square().sum(1).mean() / (exact - z).square().sum(1).mean()
    assert float(wrong.detach().sqrt()) < 0.1


def test_a_network_learns_a_gradient():
    """Of |x|²/2 but for a constant: less than half of the field's square is left."""
    torch.manual_seed(0)
    psi = NetworkPotential(2, 120, 1e-2)

    def draw():
        x = torch.randn(300, 2)
        return x, x

    gradient = psi.fitted(draw)
    x, field = draw()
    assert float((gradient(x) - field).square().mean()) < 0.5 * float(field.square().mean())


@pytest.mark.parametrize("problem", ["porous-2d", "moving-trap", "periodic-2d"])
def test_it_is_for_fokker_planck_equations_alone(problem):
    flow = wgf.load_problem(problem).problem
    with pytest.raises(InputError, match=f"{problem} is none"):
        run_bilevel(flow, wgf.Affine(2), 0.1, BiLevel(), LocalCommunicator())


def test_products_by_torch_func_refuse_the_metric_of_gradients():
    problem = wgf.load_problem("ou-2d").problem
    options = wgf.PWGFOptions(samples=100, metric="gradient")
    runner = TorchFuncPWGF.on(problem, wgf.Affine(2), options, LocalCommunicator())
    with pytest.raises(InputError, match="know the metric Ĝ"):
        runner.enter(runner.start())
