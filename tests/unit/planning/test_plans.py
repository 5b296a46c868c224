"""Plans: what they say of memory, sums and seconds, and one step of one rank on a fake group."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from jobs import job_of
from processes import cli
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf.cli import app
from hpc_wgf.errors import InputError
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator, tree_sum
from hpc_wgf.planning.calibration import calibrated
from hpc_wgf.planning.devices import DEVICES, Link, device_named
from hpc_wgf.planning.memory_model import TransientMemory, memory_model
from hpc_wgf.planning.partition import Job
from hpc_wgf.planning.plan import Planner
from hpc_wgf.planning.seconds import Counts, Nodes, all_reduce
from hpc_wgf.planning.simulated_rank import SimulatedRank, fake_group
from hpc_wgf.profiling.tracing import Traced, held_bytes, traced
from hpc_wgf.solution import solve

KEYS = {
    "problem", "device", "parameters", "samples", "counts", "lines", "memory_of_a_rank", "held",
    "seconds_of_stage", "weak",
    "phase", "largest_samples", "preconditioner", "products_from", "constants", "dry_run",
}  # fmt: skip
CPU = device_named("cpu")
COUNTS = Counts(10.0, 1.0)


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(job_of("porous-5d", "problem.until=1.1", "method.samples=40000"), CPU, 2)


def test_a_plan_is_a_contract():
    done = CliRunner().invoke(
        app, ["plan", "ou-2d", "--nodes", "3", "--gpus-per-node", "2", "--products", "7", "--json"]
    )
    assert done.exit_code == 0, done.output
    plan = json.loads(done.output)
    assert set(plan) == KEYS
    assert [line["ranks"] for line in plan["lines"]] == [1, 2, 4, 6]
    assert plan["lines"][0]["efficiency"] == 1.0
    assert plan["products_from"] == "as given"
    assert {line["bytes_per_product"] for line in plan["lines"]} == {8.0 * plan["parameters"]}
    assert plan["dry_run"] is None


def test_a_plan_for_people():
    done = cli("plan", "ou-2d", "--gpus-per-node", "2", "--device", "h100")
    assert done.returncode == 0, done.stderr
    for word in ("memory", "bytes a", "seconds", "effi-", "stated", "largest n that fits 2 ranks"):
        assert word in done.stdout


def test_products_are_taken_from_a_stored_run(tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"products_per_solve": 13.5}))
    done = CliRunner().invoke(app, ["plan", "ou-2d", "--like", str(report), "--json"])
    plan = json.loads(done.output)
    assert plan["counts"]["products_per_solve"] == 13.5
    assert str(report) in plan["products_from"]


def test_memory_is_what_tensors_of_a_run_take(planner):
    """All but the base, by the live bytes of every tensor of a real run."""
    job = planner.job
    with Traced() as trace:
        solve(job.problem, job.map, job.options, job.output)
    planned = planner.memory(1, COUNTS).total - CPU.base
    assert planned == pytest.approx(trace.peak, rel=0.1)


def test_matrices_of_a_mobility_are_counted():
    """A system keeps x, f in its two parts, P f and the matrices P, R and P⁻¹ of a sample."""
    d, options = 3, wgf.PWGFOptions(samples=1024, step_size=0.01, solver="minres")
    mobility = wgf.UserMobility(lambda x: torch.eye(d).to(x) + x[:, :, None] * x[:, None], "P")
    problem = wgf.Problem(
        [wgf.PotentialEnergy(wgf.Quadratic(d)), wgf.Entropy(0.5)], wgf.Gaussian(d), until=0.01,
        mobility=mobility,
    )  # fmt: skip
    job = Job(problem, wgf.Affine(d), options, wgf.Output(every=0.01))
    runner = PWGF.on(problem, job.map, options, LocalCommunicator())
    map = runner.start().map
    model = memory_model(job, runner, runner.system(map, runner.samples(map, 0)))
    assert model.sizes.system == 8 * (4 * d + 3 * d**2)


def test_the_largest_sample_fits_and_a_larger_one_does_not(planner):
    largest = planner.largest_samples(2, COUNTS.preconditioners)
    available = CPU.memory_of_a_rank(2)

    def memory(samples: int) -> float:
        return Planner(planner.job.of_samples(samples), CPU, 2).memory(2, COUNTS).total

    assert memory(largest) <= available < memory(round(1.01 * largest))


def test_thousands_of_ranks_are_planned_where_their_blocks_are_named():
    """More ranks than the 1024 blocks that samples are cut into by themselves."""
    job = job_of("ou-2d", "method.samples=1000000", "method.block=64")
    planner = Planner(job, device_named("h100"), 8)
    assert planner.largest_samples(4096, COUNTS.preconditioners) > 64 * 4096
    with pytest.raises(InputError, match="4096 ranks but only 1025 sample blocks"):
        Planner(job_of("ou-2d", "method.samples=1000000"), CPU, 8).memory(4096, COUNTS)


def test_linearisations_that_do_not_fit_cost_time_in_place_of_memory(planner):
    short = replace(planner.job.options, cache_gib=1e-3)  # GiB
    tight = Planner(replace(planner.job, options=short), CPU, 2)
    assert tight.memory(1, COUNTS).total < planner.memory(1, COUNTS).total - 5e6
    assert tight.seconds(1, COUNTS)["products"] > 1.2 * planner.seconds(1, COUNTS)["products"]


def test_gpus_take_samples_in_large_chunks(planner):
    on_gpu = planner.job.partition(1, torch.device("cuda"))
    assert len(on_gpu.step.chunks) == 1
    assert (
        on_gpu.step.samples == planner.job.partition(1, torch.device("cpu")).step.samples == 40_000
    )


def test_the_rank_with_most_samples_counts():
    """Of 63 blocks of 16 samples, the last of 9, the second rank of two has one more."""
    partition = job_of("ou-2d", "method.samples=1001", "method.block=16").partition(
        2, torch.device("cpu")
    )
    assert partition.step.samples == 1001 - 31 * 16


def test_an_all_reduce_doubles_inside_the_node_first():
    device = replace(CPU, inside=Link(1.0, 1e3), between=Link(10.0, 1e2))
    assert all_reduce(1e3, device, Nodes(1, 1)) == 0.0
    assert all_reduce(1e3, device, Nodes(4, 4)) == pytest.approx(2 * 2.0)
    assert all_reduce(1e3, device, Nodes(4, 2)) == pytest.approx(2.0 + 20.0)
    gpu = replace(device_named("h100"), inside=Link(1.0, 1e3))
    assert all_reduce(1e3, gpu, Nodes(4, 8)) == pytest.approx(2.0 + 1.5)


def test_calibration_takes_what_was_reached(tmp_path):
    row = {"over": "ranks", "value": 1, "seconds": 3.0, "seconds_all_reduce": 0.0, "flops": 2e10,
           "parameters": 100, "bytes_moved": 5e9, "matmul_gflops": 20.0}  # fmt: skip
    two = {**row, "value": 2, "seconds_all_reduce": 0.5}
    record = tmp_path / "scaling.json"
    record.write_text(json.dumps({"rows": [two, row], "machine": {"device": "cpu"}}))
    device = calibrated(CPU, record)
    assert device.rate(torch.float64, tf32=False) == pytest.approx(20e9)
    assert device.bandwidth == pytest.approx(5e9 / 2.0)
    assert all_reduce(800.0, device, Nodes(2, 2)) == pytest.approx(0.5)
    with pytest.raises(InputError, match="recorded on a CPU, which says nothing of h100"):
        calibrated(device_named("h100"), record)


def test_bench_scaling_records_what_calibration_reads(tmp_path):
    record = tmp_path / "scaling.json"
    small = ["--samples", "128", "--rounds", "1", "--case", "perceptron-2x50-d2"]
    done = cli("bench", "scaling", "--over", "ranks", "--value", 1, *small, "--out", record)
    assert done.returncode == 0, done.stderr
    device = calibrated(CPU, record)
    assert device.share != CPU.share
    assert device.inside == CPU.inside  # of one rank nothing is known of links


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nodes", "0"], "--nodes must be at least 1, got 0"),
        (["--gpus-per-node", "-1"], "--gpus-per-node must be at least 1, got -1"),
        (["--device", "h10"], "did you mean 'h100'"),
        (["--nodes", "64", "--gpus-per-node", "8"], "512 ranks but only 250 sample blocks"),
        (["--calibration", "none.json"], "none.json is no record of hpc-wgf bench scaling"),
        (["--calibration", "pyproject.toml"], "pyproject.toml is no record"),
        (["--products", "0"], "--products must be positive, got 0"),
        (["--products", "3", "--like", "x"], "give one of them"),
        (["--preconditioners", "-1"], "--preconditioners must not be negative"),
        (["--like", "pyproject.toml"], "neither a store nor the output"),
        (["--like", "nowhere"], "no store at nowhere"),
        (["--set", "method.sampels=3"], "did you mean 'samples'"),
        (["--set", "method.metric=gradient"], "plans know products with the metric Ĝ"),
    ],
)
def test_bad_input_is_refused_before_any_work(monkeypatch, arguments, message):
    monkeypatch.setattr("hpc_wgf.planning.plan.profile", lambda job: pytest.fail("work was begun"))
    done = CliRunner().invoke(app, ["plan", "ou-2d", *arguments])
    assert isinstance(done.exception, InputError), done.output
    assert message in str(done.exception)


def test_old_records_of_scaling_say_what_is_missing(tmp_path):
    record = tmp_path / "old.json"
    row = {"over": "ranks", "value": 1, "seconds": 0.3}
    record.write_text(json.dumps({"rows": [row], "machine": {"device": "cpu"}}))
    with pytest.raises(InputError, match="matmul_gflops.*write one with"):
        calibrated(CPU, record)


def test_a_dry_run_of_512_ranks():
    """In a process of its own, whose peak is that of the rank."""
    done = cli("plan", "porous-15d", "--set", "method.samples=1000000", "--nodes", "64",
               "--gpus-per-node", "8", "--dry-run", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    ran = json.loads(done.stdout)["dry_run"]
    assert (ran["ranks"], ran["on_gpu"]) == (512, False)
    assert 1_000_000 / 512 <= ran["samples"] < 3000
    assert ran["memory_planned"] == pytest.approx(ran["memory"], rel=0.15)
    assert ran["seconds"] > 0 < ran["seconds_planned"]


def test_one_rank_stands_for_all():
    with fake_group(8) as rank:
        assert torch.equal(rank.sum(torch.arange(3.0)), tree_sum([torch.arange(3.0)] * 8))
        received = torch.zeros(2)
        rank.exchange(torch.ones(2), 3, received, 5)()
        assert torch.equal(received, torch.ones(2))
        assert rank.gather("x") == ["x"] * 8
        assert (rank.reduced, rank.exchanged) == ([24], [16])
    assert not torch.distributed.is_initialized()


def test_means_over_ranks_that_are_alike_stay_means():
    """A solve on one of four ranks is not four times as large."""
    job = job_of("ou-2d", "problem.until=0.05", "method.samples=400", "output.every=0.05")
    alone = solve(job.problem, job.map, job.options, job.output)
    wide = replace(job.options, samples=1600)
    one = solve(job.problem, job.map, wide, job.output, communicator=SimulatedRank(4))
    energy, of_four = (run.summary.energy[-1] for run in (alone, one))
    assert of_four == pytest.approx(energy, rel=0.2)


def test_the_trace_counts_products_and_what_lives():
    a = torch.ones(100, 50)
    trace = traced(lambda: torch.tanh(a @ a.T))
    assert trace.work.flops == 2 * 100 * 50 * 100
    assert trace.work.moved == 2 * 8 * 100 * 100
    assert trace.peak == 2 * 8 * 100 * 100
    assert trace.now == 0
    assert held_bytes([a, a[:3]], {"b": a.view(-1)}) == a.nbytes
    assert held_bytes(a, beside=[a[1]]) == 0


def test_what_passes_grows_by_a_straight_line():
    assert [TransientMemory(10.0, 18.0).at(n) for n in (256, 512, 1024, 2048)] == [
        5.0,
        10.0,
        18.0,
        34.0,
    ]


@pytest.mark.parametrize("name", DEVICES)
def test_stated_constants_are_those_of_a_device(name):
    device = device_named(name)
    assert device.rate(torch.float32, tf32=True) >= device.rate(torch.float32, tf32=False)
    assert device.inside.bandwidth >= device.between.bandwidth
    assert device.base < device.memory_of_a_rank(1)
