"""Real processes under torchrun: the same numbers on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray
from processes import SMALL, cli, solved

from hpc_wgf import open_run

FLOWS = {
    "planar": ["--set", 'map=[{kind="planar", layers=12}]', "--set", "method.scheme=heun"],
    "module": [
        "--set",
        "problem.until=0.05",
        "--set",
        'map=[{kind="module", factory="user_objects:Net", anchored=true}]',
    ],
    "all pairs": [
        "--set",
        'problem.energy=[{kind="interaction", kernel={kind="gaussian-kernel"}}, '
        '{kind="internal", m=2.4}]',
    ],
    "batches": [
        "--set",
        'problem.energy=[{kind="interaction", route="batches", batch=8, '
        'kernel={kind="power-law", a=2, b=0}}]',
    ],
    "adaptive": ["--set", "method.scheme=bosh32", "--set", "method.tolerance=2e-3"],
}


def run(store, *settings, ranks=1):
    return solved("run", "ou-2d", *SMALL, *settings, "--out", store, ranks=ranks)


@pytest.mark.parametrize("flow", FLOWS)
def test_any_power_of_two_of_ranks_gives_the_same_bits(tmp_path, flow):
    """Sums go up one binary tree whatever the number of ranks; 1e-10 would be enough, but MINRES
    magnifies a changed last bit to the size of its tolerance."""
    theta, energy = {}, {}
    some = (1, 2, 4) if flow == "all pairs" else (1, 4)
    for ranks in some:
        store = tmp_path / f"on-{ranks}"
        summary = run(store, *FLOWS[flow], ranks=ranks)
        assert summary["ranks"] == ranks
        stored = open_run(store)
        theta[ranks], energy[ranks] = stored.column("theta"), stored.column("energy")
    for ranks in some:
        assert np.array_equal(theta[1], theta[ranks])
    # The evaluation sample is summed by shards: equal up to rounding.
    assert np.allclose(energy[1], energy[4], rtol=1e-12)


def test_three_ranks_agree_within_the_tolerance_of_the_solver(tmp_path):
    """No power of two, another order of addition: the flow agrees as far as it is solved."""
    one, three = (run(tmp_path / f"{r}", ranks=r) for r in (1, 3))
    assert np.allclose(one["energy"], three["energy"], rtol=1e-4)
    assert max(three["map_error_relative"]) < 5e-3


def test_particles_of_all_ranks_are_stored_once_and_in_order(tmp_path):
    settings = ["--set", "output.particles=300", "--set", "output.shards=5"]
    for ranks in (1, 4):
        run(tmp_path / f"{ranks}", *settings, ranks=ranks)
    with xarray.open_zarr(tmp_path / "1") as one, xarray.open_zarr(tmp_path / "4") as four:
        assert dict(four.sizes)["sample"] == 300
        assert np.array_equal(one.particles.values[0], four.particles.values[0])
        assert np.allclose(one.particles.values, four.particles.values, rtol=1e-12)
        assert np.allclose(one.log_density.values, four.log_density.values, rtol=1e-12)


def test_a_run_of_two_ranks_resumes_on_four_and_on_one(tmp_path):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    run(whole)
    run(torn, "--set", "problem.until=0.1", ranks=2)
    solved("resume", torn, "--until", "0.15", ranks=4)
    summary = solved("resume", torn, "--until", "0.2")
    assert summary["finished"]
    assert summary["ranks"] == 1
    assert np.array_equal(open_run(whole).column("theta"), open_run(torn).column("theta"))


def test_more_ranks_than_sample_blocks_are_refused_on_all(tmp_path):
    done = cli(
        "run", "ou-2d", "--set", "method.samples=32", "--out", tmp_path / "run", ranks=4
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("4 ranks but only 2 sample blocks") == 1
    assert not (tmp_path / "run").exists()
