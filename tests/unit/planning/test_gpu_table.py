"""What is planned for GPUs, beside an arithmetic by hand of the same step: `porous-15d`, n = 10⁶,
float64, Heun, two solves of eight products each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from jobs import job_of

from hpc_wgf.planning.devices import device_named
from hpc_wgf.planning.plan import Planner
from hpc_wgf.planning.seconds import Counts, Nodes, all_reduce
from hpc_wgf.profiling.intensity import MatrixProducts
from hpc_wgf.profiling.tracing import traced

H100 = device_named("h100")
COUNTS = Counts(8.0, 0.0)
NEAR = 1.5  # the largest factor between plan and arithmetic
DRAWING = 0.9e-6  # seconds a sample on one host thread, of .5 to 1.3 that were measured


@pytest.fixture(scope="module")
def planner() -> Planner:
    found = Planner(job_of("porous-15d", "method.samples=1000000"), H100, 8)
    work = replace(found.cost_model.work, drawing=DRAWING)
    found.cost_model = replace(found.cost_model, work=work)
    return found


def near(found: float, by_hand: float) -> bool:
    return by_hand / NEAR < found < by_hand * NEAR


def test_a_product_takes_as_long_as_its_bytes(planner):
    """2.2 ms; its operations alone, which were counted, would be done in a tenth of that."""
    products = COUNTS.products_per_solve * planner.cost_model.work.solves
    a_product = planner.seconds(1, COUNTS)["products"] / products
    assert a_product == pytest.approx(2.2e-3, rel=0.2)
    rate = H100.rate(torch.float64, tf32=False)
    assert 1e6 * planner.cost_model.work.product.flops / rate < 0.25 * a_product


@pytest.mark.parametrize(("ranks", "latency"), [(8, 25e-6), (512, 80e-6)])
def test_sums_over_gpus_take_as_long_as_their_latencies(planner, ranks, latency):
    """22 of them."""
    assert near(planner.plan(ranks, COUNTS).lines[-1].all_reduces, 22)
    assert near(all_reduce(8 * 1232, H100, Nodes(ranks, 8)), latency)
    assert near(planner.seconds(ranks, COUNTS)["all-reduces"], 22 * latency)


@pytest.mark.parametrize(
    ("ranks", "could", "stands"), [(1, 0.0275, 1.9), (8, 0.0065, 0.3), (512, 0.0045, 0.028)]
)
def test_a_step_lies_between_what_it_could_take_and_what_it_took(planner, ranks, could, stands):
    """By hand: as much as `stands` with samples drawn by the host, as little as `could` without."""
    parts = planner.seconds(ranks, COUNTS)
    assert could / NEAR < sum(parts.values()) < stands * NEAR
    assert sum(parts.values()) - parts["drawing samples"] > could / NEAR


def test_a_million_samples_feed_64_gpus_and_512_want_thirty_million(planner):
    lines = {line.ranks: line for line in planner.plan(512, COUNTS).lines}
    assert lines[64].efficiency > 0.5 > 2 * lines[512].efficiency
    many = planner.job.of_samples(30_000_000)
    planner = replaced(planner, many)
    weak = planner.plan(512, COUNTS, weak=True)
    assert weak.weak
    assert weak.lines[0].samples == 30_000_000 // 512
    assert weak.lines[-1].efficiency == pytest.approx(
        weak.lines[0].seconds / weak.lines[-1].seconds
    )
    assert weak.lines[-1].efficiency > 0.8


def replaced(planner: Planner, job) -> Planner:
    """The plan of another n, of which nothing is traced anew."""
    other = object.__new__(Planner)
    other.__dict__.update(planner.__dict__, job=job)
    return other


def test_each_product_is_bounded_by_its_operations_or_by_its_bytes():
    """1000³ of float64 by operations, a thin one of 10⁶ rows by bytes, both in one trace."""
    square, thin, narrow = torch.ones(1000, 1000), torch.ones(10**6, 4), torch.ones(4, 4)
    work = traced(lambda: [square @ square, thin @ narrow]).work
    rate, bandwidth = 1e12, 1e11
    by_operations, by_bytes = 2e9 / rate, 8 * (8 * 10**6 + 16) / bandwidth
    assert work.flops == 2e9 + 32e6
    assert work.products.seconds(rate, bandwidth) == pytest.approx(by_operations + by_bytes)
    twice = (2.0 * work).products.seconds(rate, bandwidth)
    assert twice == pytest.approx(2 * (by_operations + by_bytes))
    assert (work - work).products.seconds(rate, bandwidth) == 0.0
    assert MatrixProducts.of(0.0, 0.0).flops == 0.0


def test_a_gpu_computes_while_the_host_starts_what_comes_next(planner):
    slow = replaced(planner, planner.job)
    slow.device = replace(H100, call=1.0)
    parts = slow.seconds(8, COUNTS)
    work, chunks = slow.cost_model.work, len(slow.partition(slow.job, 8).step.chunks)
    products = COUNTS.products_per_solve * work.solves
    calls = chunks * (products * work.calls[0] + work.calls[1])
    computing = parts["products"] + parts["samples and forces"] + parts["pairs of particles"]
    assert parts["starting operations"] == pytest.approx(calls - computing)
    at_once = replaced(planner, planner.job)
    at_once.device = replace(H100, call=0.0)
    assert at_once.seconds(8, COUNTS)["starting operations"] == 0.0
