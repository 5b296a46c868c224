"""The benchmarks, tiny: the contract of their rows, and that what they compare is the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf import interactions
from hpc_wgf.bench import baselines, draws, jko, product, rank_scaling, ring
from hpc_wgf.bench.cases import CASES, Case, assembled
from hpc_wgf.bench.scaling import growth_exponent
from hpc_wgf.cli import app
from hpc_wgf.errors import InputError, RunError
from hpc_wgf.interactions import GaussianKernel, keops
from hpc_wgf.interactions.tiles import pair_sums
from hpc_wgf.maps import BlockFlow, PlanarFlow, ResidualPerceptron
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.profiling.flops import product_flops
from hpc_wgf.profiling.timing import interleaved

PRODUCT = ["case", "milliseconds", "ratio_torch_func", "ratio_double_backward", "matmul_share"]
SOLVE = [
    "case", "products_plain", "products_preconditioned", "projection_error_plain",
    "projection_error_preconditioned", "eta_norm_plain", "eta_norm_preconditioned",
]  # fmt: skip
RECIPE = ["problem", "error", "seconds_paper", "extrapolated", "seconds_ours", "ratio"]
SMALL = {
    "perceptron": Case(3, 300, lambda d: ResidualPerceptron(d, (16, 16))),
    "block": Case(5, 300, lambda d: BlockFlow(d, 12)),
    "planar": Case(2, 300, lambda d: PlanarFlow(d, 6)),
}


@pytest.fixture(autouse=True)
def _small_matrices(monkeypatch):
    monkeypatch.setattr("hpc_wgf.profiling.machine._SIDE_CPU", 64)


def bench(*arguments: object) -> list[dict]:
    done = CliRunner().invoke(app, ["bench", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_draws_rows(monkeypatch):
    rows = bench("draws", "--samples", 3000, "--dimension", 2, "--rounds", 1)
    assert [row["case"] for row in rows] == list(draws.CASES)
    for row in rows:
        assert row["bytes"] == 3000 * 5 * 8
        assert row["share"] == pytest.approx((row["numbers"] + row["written"]) / row["seconds"])
    monkeypatch.setattr(wgf.Gaussian, "evaluated", lambda self, z: (z[:, 0], z))
    with pytest.raises(RunError, match="gaussian: samples of all blocks at once are others"):
        draws.rows(["gaussian"], 2, 300, "float64", 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_product_rows(dtype):
    rows = bench("product", "--samples", 64, "--rounds", 1, "--dtype", dtype)
    assert [row["case"] for row in rows] == list(CASES)
    for row in rows:
        assert list(row)[: len(PRODUCT)] == PRODUCT
        for rival in ("torch_func", "double_backward"):
            ratio = row[f"milliseconds_{rival}"] / row["milliseconds"]
            assert row[f"ratio_{rival}"] == pytest.approx(ratio)
        share = row["flops"] / (1e-3 * row["milliseconds"]) / (1e9 * row["matmul_gflops"])
        assert row["matmul_share"] == pytest.approx(share)


@pytest.mark.parametrize("rival", ["torch_func_product", "double_backward_product"])
def test_a_wrong_product_is_not_timed(rival, monkeypatch):
    """A rival that forms another vector would be as fast as it likes."""
    right = getattr(baselines, rival)
    monkeypatch.setattr(product, rival, lambda *given: right(*given) * (1 + 1e-6))
    monkeypatch.setitem(product.case_named.__globals__["CASES"], "small", SMALL["block"])
    with pytest.raises(RunError, match="differs from ours"):
        product.rows(["small"], None, "float64", 1, torch.device("cpu"))


@pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
def test_flops_are_those_of_the_product(case):
    """Counted are the matrix products that the mathematics needs: what ours calls, less what it
    computes beyond (biases as a row of ones, couplings of planar layers)."""
    n = case.samples
    map, system = assembled(case, n, torch.float64, LocalCommunicator())
    v = torch.ones_like(system.b)
    system.gram.matvec(v)
    in_place = {
        torch.ops.aten.addmm_: lambda c, a, b, *, out_shape=None, **_: 2 * a[0] * a[1] * b[1],
        torch.ops.aten.addmv_: lambda c, a, b, *, out_shape=None, **_: 2 * a[0] * a[1],
        torch.ops.aten.addmv: lambda c, a, b, *, out_shape=None, **_: 2 * a[0] * a[1],
        torch.ops.aten.mv: lambda a, b, *, out_shape=None, **_: 2 * a[0] * a[1],
    }
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        system.gram.matvec(v)
    counted, needed = counter.get_total_flops(), product_flops(map, n)
    assert needed <= counted
    if not isinstance(map, PlanarFlow):
        assert counted <= 1.35 * needed  # the biases: a row more for 3 to 16


def test_solve_rows():
    (row,) = bench("solve", "--case", "porous-2d", "--samples", 500, "--rounds", 1)
    assert list(row)[: len(SOLVE)] == SOLVE
    assert row["reached"]
    assert row["projection_error_preconditioned"] <= row["projection_error_plain"]
    assert row["ratio"] == row["products_plain"] / row["products_preconditioned"] > 1
    assert min(row[f"seconds_{name}"] for name in ("plain", "preconditioned", "build")) > 0


SHORT = ["--set", "problem.until=0.12", "--samples", 200, "--rounds", 1, "--stored", 2]


def test_step_compares_schemes():
    rows = bench("step", *SHORT, "--scheme", "euler", "--scheme", "heun", "--tolerance", 1e-2)
    assert [row["scheme"] for row in rows] == ["euler", "heun"]
    assert [row["tolerance"] for row in rows] == [None, 1e-2]
    for row in rows:
        assert row["failure"] is None
        assert row["products"] > row["solves"] >= row["steps"] >= 2
        assert 0 < row["error"] < 0.5


def test_step_compares_runs_with_and_without_preconditioner():
    """Each side with the loosest tolerance that reaches the error."""
    wanted = ["--compare", "preconditioner", "--problem", "porous-2d", "--error"]
    (row,) = bench("step", *wanted, 0.2, *SHORT)
    assert list(row)[:4] == ["problem", "error_wanted", "ratio", "rtol_plain"]
    assert row["ratio"] == pytest.approx(row["seconds_plain"] / row["seconds_preconditioned"])
    assert max(row["error_plain"], row["error_preconditioned"]) <= 0.2
    looser = {**row, "error_wanted": 10.0}
    fixed = ["--set", "method.tolerance=none", "--set", "method.step=0.02"]
    (loosest,) = bench("step", *wanted, looser["error_wanted"], *SHORT, *fixed)
    assert loosest["rtol_plain"] == loosest["rtol_preconditioned"] == 3e-4
    assert loosest["products_preconditioned"] < loosest["products_plain"]


def test_an_error_that_no_tolerance_reaches_is_refused():
    asked = ["--compare", "preconditioner", "--problem", "porous-2d", "--error", 1e-9, *SHORT]
    done = CliRunner().invoke(app, ["bench", "step", *map(str, asked)])
    assert done.exit_code == 2
    assert "ask for a larger --error" in done.output


def test_step_compares_samples():
    wanted = ["--compare", "sampling", "--problem", "ou-2d", "--samples", 256, "--rounds", 2]
    (row,) = bench("step", *wanted, "--set", "problem.until=0.3", "--stored", 1)
    assert (row["problem"], row["samples"]) == ("ou-2d", 256)
    assert row["ratio"] == row["error_random"] / row["error_sobol"] > 0
    assert (row["failures_random"], row["failures_sobol"]) == (0, 0)


def test_step_compares_with_torch_func():
    """Without a preconditioner on our side either, the two runs must be the same run."""
    plain = ["--set", "method.preconditioner=none", "--set", "method.rtol=0.1"]
    (row,) = bench("step", "--compare", "planar", "--samples", 64, "--rounds", 1, *plain)
    assert row["ratio"] == pytest.approx(row["seconds_torch_func"] / row["seconds"])
    assert row["steps"] == 10
    assert row["products"] == row["products_torch_func"]
    assert row["error"] == pytest.approx(row["error_torch_func"], rel=1e-6)


def test_ring_rows(monkeypatch):
    monkeypatch.setattr(keops, "is_installed", lambda: False)  # Its compilations take long.
    rows = bench("ring", "--samples", 200, "--rounds", 1)
    assert {row["route"] for row in rows} == {"pairs", "moments", "batches"}
    for row in rows:
        assert row["ns_per_pair"] == pytest.approx(1e9 * row["seconds"] / row["pairs"])


def test_ring_rows_with_keops(monkeypatch):
    """The rows alone: to compile for them would take seconds."""

    def tiles(kernel, x, y, *, own, potential):
        return pair_sums(kernel, x, y, same=False, potential=potential)

    monkeypatch.setattr(keops, "is_installed", lambda: True)
    monkeypatch.setattr(keops, "keops_sums", tiles)
    monkeypatch.setattr(interactions.ring, "keops_sums", tiles)
    rows = bench("ring", "--samples", 200, "--rounds", 1, "--dimension", 2)
    for kernel, others in {"power 4-2": {"moments"}, "gaussian": set(), "log": set()}.items():
        found = {row["route"] for row in rows if row["kernel"] == kernel}
        assert found == {"pairs", "batches", "pairs, keops", "PyKeOps"} | others


def test_a_pair_takes_the_flops_that_torch_counts():
    """Matrix products alone, beyond the dimensions where squares are summed from differences."""
    x = torch.randn(64, 5, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        pair_sums(GaussianKernel(), x, x, same=False, potential=False)
    assert counter.get_total_flops() == 64 * 64 * ring.pair_flops(5)


def test_store_rows(tmp_path):
    (row,) = bench("store", "--samples", 100, "--rounds", 1, "--folder", tmp_path)
    assert row["megabytes"] == pytest.approx((100 * 11 + 2 * 5000) * 8e-6)
    assert row["files"] == 4  # parameters, velocity, particles, densities
    assert row["ratio"] == pytest.approx(row["seconds"] / row["seconds_numpy"])
    assert not list(tmp_path.iterdir())


def test_output_rows(tmp_path):
    short = ["--samples", 100, "--set", "problem.until=0.2", "--set", "output.every=0.1"]
    (row,) = bench("output", *short, "--rounds", 1, "--folder", tmp_path)
    assert (row["samples"], row["rows"]) == (100, 3)
    assert row["share"] == pytest.approx(1 - row["seconds_without"] / row["seconds"])
    assert row["share_of_work"] < 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("over", ["samples", "dimension"])
def test_scaling_rows(over):
    sizes = ["--value", 64, "--value", 32, "--width", 4, "--rounds", 1]
    rows = bench(
        "scaling", "--over", over, *sizes, *([] if over == "samples" else ["--samples", 64])
    )
    assert [row["value"] for row in rows] == [32, 64]
    slope = growth_exponent([32, 64], [row["seconds"] for row in rows])
    assert [row["exponent"] for row in rows] == pytest.approx([slope, slope])
    assert all(row["peak_mebibytes"] > 10 for row in rows)


def test_maps_are_compared_over_the_dimension():
    maps = ["--map", "block", "--map", "neural-ode"]
    sizes = ["--value", 70, "--width", 4, "--rounds", 1, "--samples", 64]
    rows = bench("scaling", "--over", "dimension", *sizes, *maps)
    assert [row["map"] for row in rows] == ["block", "neural-ode"]
    assert [row["parameters"] for row in rows] == [4 * 141, 4 * 142 + 70]
    assert all(row["seconds"] > 0 for row in rows)


def test_a_named_problem_is_scaled_over_its_dimension():
    """The solves of an affine map alone are direct, and those with a block take few products."""
    sizes = ["--value", 4, "--value", 34, "--rounds", 1, "--samples", 256]
    named = ["scaling", "--over", "dimension", "--problem", "ou-scaling", *sizes]
    assert [row["products_a_solve"] for row in bench(*named, "--width", 0)] == [0, 0]
    small, large = bench(*named, "--width", 4)
    assert (small["parameters"], large["parameters"]) == (4 * 5 + 4 * 9, 34 * 35 + 4 * 69)
    assert small["products_a_solve"] <= 20
    assert large["products_a_solve"] <= 10
    assert large["cpu_seconds"] > 0


def test_scaling_launches_ranks():
    small = ["--samples", 128, "--rounds", 1, "--case", "perceptron-2x50-d2"]
    (row,) = bench("scaling", "--over", "ranks", *small, "--value", 2)
    assert (row["value"], row["ratio"], row["parameters"]) == (2, 1.0, 2802)
    assert row["seconds"] > 0


def test_speed_on_ranks_is_against_the_first_number(monkeypatch):
    def launched(ranks: int, *_: object) -> dict[str, float]:
        found = {"seconds": 6.0 / ranks, "seconds_all_reduce": 0.3}
        return {**found, "peak_mebibytes": 1.0, "parameters": 1}

    monkeypatch.setattr(rank_scaling, "_launched", launched)
    rows = rank_scaling.rows([1, 2], "block-448-d5", 100, 3, "cpu")
    assert [row["ratio"] for row in rows] == [1.0, 2.0]
    assert [row["all_reduce_share"] for row in rows] == pytest.approx([0.05, 0.1])


def test_growth_exponent_is_the_power():
    assert growth_exponent([10, 100, 1000], [3e-3, 3e-2 * 10, 3e1]) == pytest.approx(2.0)


def test_recipe_is_labelled_and_recorded(tmp_path):
    """Steps that were not taken must not pass for measured ones."""
    kept = tmp_path / "recipe.json"
    (row,) = bench("recipe", "--rounds", 1, "--steps", 1, "--set-paper", "method.samples=300",
                   "--set", "method.samples=300", "--out", kept)  # fmt: skip
    assert list(row)[: len(RECIPE)] == RECIPE
    assert row["extrapolated"] is True
    assert row["steps_paper"] == 5000
    assert row["seconds_paper"] == pytest.approx(5000 * row["seconds_a_step_paper"])
    assert row["ratio"] == pytest.approx(row["seconds_paper"] / row["seconds_ours"])
    assert 0 < row["error"] < 1e-2
    record = json.loads(kept.read_text())
    assert set(record) == {"configuration", "versions", "machine", "rows"}
    assert set(record["machine"]) == {"cores", "cpu", "threads", "device"}
    assert record["rows"] == [row]
    assert record["configuration"]["benchmark"] == "recipe"


def test_a_table_without_json():
    done = CliRunner().invoke(app, ["bench", "store", "--samples", "100", "--rounds", "1"])
    assert "megabytes" in done.output


def test_calls_are_timed_in_turn():
    """One after the other, a machine that slows down would favour the first."""
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "AB"}
    times = interleaved(calls, 2, torch.device("cpu"))
    assert order == ["A", "B"] * 3
    assert all(len(each.seconds) == 2 for each in times.values())


@pytest.mark.parametrize(
    "command",
    [
        ["solve", "--case", "stiff-2d"],
        ["recipe", "--problem", "aggregation-2d", "--set", "method.kind=implicit"],
        *(["step", "--compare", each, "--problem", "stiff-2d"]
          for each in ("schemes", "preconditioner", "sampling")),
    ],
)  # fmt: skip
def test_a_problem_of_another_method_gets_a_line(command):
    done = CliRunner().invoke(app, ["bench", *command])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "benchmarks are of the method pwgf" in said
    assert "is solved by implicit: give another problem" in said


def test_jko_rows():
    """Hardly trained: the distance of exact JKO from the flow is what it is all the same."""
    few = ("method.samples=64", "method.iterations=2", "method.width=4")
    settings = [word for each in (*few, "problem.until=0.1") for word in ("--set", each)]
    (row,) = bench("jko", "--problem", "ou-scaling", "--dimension", 2, *settings)
    assert row["error_jko"] == pytest.approx(5.31e-5, rel=1e-3)
    assert row["ratio"] == pytest.approx(row["error"] / row["error_jko"])
    assert (row["steps"], row["parameters"]) == (2, 6)
    assert {"gap", "gap_error", "least_gap_in_errors", "to_jko", "seconds"} <= set(row)
    with pytest.raises(InputError, match="give ou-scaling or porous-1d"):
        jko.rows(["ou-2d"], [2], [0], [], LocalCommunicator())


def test_symmetric_kl_of_gaussians():
    """On the line ½(s²/t² + t²/s² − 2 + (m − n)²(1/s² + 1/t²))."""
    found = jko.symmetric_kl(*((np.array([m]), np.array([[v]])) for m, v in ((0, 1), (2, 4))))
    assert found == pytest.approx(0.5 * (0.25 + 4 - 2 + 4 * 1.25))
