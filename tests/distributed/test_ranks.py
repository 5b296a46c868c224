"""Real processes under torchrun: the same numbers on any number of ranks."""

from __future__ import annotations

import json

import numpy as np
import xarray
from processes import SMALL, cli, script, solved

from hpc_wgf import open_run

PLAIN = ["problem.until=0.1", "method.samples=400", "output.every=0.05"]
FLOWS = {
    "planar": ['map=[{kind="planar", layers=12}]', "method.scheme=heun"],
    "layers": ["method.preconditioner=layers"],
    "blocks of one rank each": [
        'map=[{kind="affine"}, {kind="block", width=8}]',
        "method.preconditioner=outputs",
    ],
    "module": [
        "problem.until=0.05",
        'map=[{kind="module", factory="user_objects:Net", anchored=true}]',
    ],
    "all pairs": [
        'problem.energy=[{kind="interaction", kernel={kind="gaussian-kernel"}}, '
        '{kind="internal", m=2.4}]',
    ],
    "batches": [
        'problem.energy=[{kind="interaction", route="batches", batch=8, '
        'kernel={kind="power-law", a=2, b=0}}]',
    ],
    "nonradial": [
        'problem.energy=[{kind="interaction", factor=0.5, '
        'kernel={kind="nonradial-kernel", function="user_objects:stripes"}}]',
    ],
    "circle": [
        "problem.periods=[5.0, 0.0]",
        'problem.energy=[{kind="cosine", wavelength=5.0, amplitude=[0.5, 0.0], '
        'stiffness=[0.0, 1.0]}, {kind="entropy", beta=0.5}]',
        'map=[{kind="periodic", harmonics=3, width=4}]',
        "method.form=energy",
        "method.scheme=ros2",
        "stages.when=[0.05]",
    ],
    "adaptive": ["method.scheme=bosh32", "method.tolerance=2e-3"],
    "samples as start and target": [
        'problem.start={kind="samples", path="FOLDER/start.npy"}',
        'problem.energy=[{kind="samples", draw_from={mean=3.0, covariance=0.25}, count=500}, '
        '{kind="entropy"}]',
        'map=[{kind="affine"}]',
        "method.form=energy",
    ],
    "covariance": ['problem.mobility={kind="covariance"}', "method.solver=lsmr"],
    "saturating": ['problem.mobility={kind="saturating", limit=5}'],
    "from a stored run": ['problem.start={kind="run", path="FOLDER/first", time=0.03}'],
    "gradients": [
        'map=[{kind="affine"}, {kind="block", width=6}]',
        "method.metric=gradient",
        "method.functions=20",
    ],
    "gradients directly": ['map=[{kind="affine"}]', "method.metric=gradient"],
    "weak": ['problem.start={kind="box"}', 'map=[{kind="affine"}]', "method.form=weak"],
    "drift": ['problem.drift={kind="linear", matrix=[[0, -1], [1, 0]], sine=1}'],
}


def run(store, *settings, ranks=1):
    return solved("run", "ou-2d", *SMALL, *settings, "--out", store, ranks=ranks)


def test_any_power_of_two_of_ranks_gives_the_same_bits(tmp_path):
    """Sums go up one binary tree whatever the number of ranks; 1e-10 would be enough, but MINRES
    magnifies a changed last bit to the size of its tolerance. One start for each number of
    ranks solves all flows."""
    np.save(tmp_path / "start.npy", np.random.default_rng(0).standard_normal((100_000, 2)))
    first = [f"--set={setting}" for setting in PLAIN]
    solved("run", "ou-2d", *first, "--out", tmp_path / "first")
    flows = {flow: [each.replace("FOLDER", str(tmp_path)) for each in settings]
             for flow, settings in FLOWS.items()}  # fmt: skip
    for ranks in (1, 2, 4):
        stores = {str(tmp_path / f"{flow} on {ranks}"): flow for flow in FLOWS}
        runs = tmp_path / f"{ranks}.json"
        runs.write_text(
            json.dumps({store: ["ou-2d", *PLAIN, *flows[flow]] for store, flow in stores.items()})
        )
        done = script("several_runs.py", runs, ranks=ranks)
        assert done.returncode == 0, done.stderr
        for store, flow in stores.items():
            stored, alone = open_run(store), open_run(tmp_path / f"{flow} on 1")
            assert stored.attributes["ranks"] == ranks
            assert np.array_equal(alone.column("theta"), stored.column("theta")), flow
            estimates = [each.column("error_estimate") for each in (alone, stored)]
            assert np.array_equal(*estimates, equal_nan=True), flow
            # The evaluation sample is summed by shards: equal up to rounding.
            assert np.allclose(alone.column("energy"), stored.column("energy"), rtol=1e-12), flow


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
    """The random numbers are those of the philox stream, which a resumed run goes on with."""
    whole, torn, philox = tmp_path / "whole", tmp_path / "torn", ("--set", "method.stream=philox")
    run(whole, *philox)
    run(torn, *philox, "--set", "problem.until=0.1", ranks=2)
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
