"""The command `sweep`: what runs, what does not run again, what is told."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

import pytest
import torch
from processes import here
from stores import assert_same

import hpc_wgf as wgf
from hpc_wgf.config import build, catalogue, load
from hpc_wgf.config.toml import with_settings
from hpc_wgf.studies.against import lines
from hpc_wgf.studies.folder import ATTEMPT
from hpc_wgf.studies.grid import Axis, Grid
from hpc_wgf.studies.sweep import Sweep

ROOT = Path(__file__).parents[3]
SETTINGS = ["problem.until=0.1", "method.samples=100", "map.1.width=4", "output.every=0.05"]
AXES = ["method.step=0.05,0.025", "problem.start.covariance=1.0,[1,2,3]"]
"""Of these, three variances do not fit two dimensions: that is found when a run begins."""
ONE = "step=0.025_covariance=1.0_seed=0"


def sweep(folder: Path, *more: str, axes=AXES, seeds: int = 2, settings=SETTINGS):
    """`hpc-wgf sweep ou-2d` into a folder."""
    given = [f"--set={each}" for each in settings] + [f"--grid={axis}" for axis in axes]
    return here("sweep", "ou-2d", *given, f"--seeds={seeds}", "--out", folder, *more)


def as_read(folder: Path) -> Sweep:
    """The same sweep by its files."""
    tables = with_settings(catalogue.tables_of("ou-2d"), SETTINGS)
    return Sweep.read(folder, Grid.of(tables, [Axis.parsed(axis) for axis in AXES], 2))


@pytest.fixture(scope="module")
def done(ran, tmp_path_factory):
    """The folder of a sweep that has ended, and what it said."""
    folder = tmp_path_factory.mktemp("sweep") / "s"
    return folder, sweep(folder, "--json")


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done[0], tmp_path / "copy")


def test_every_run_is_told_with_its_figures_and_what_failed_with_its_reason(done):
    folder, said = done
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "4 of 8 runs have failed" in said.stderr
    found = json.loads(said.stdout)
    assert found["axes"]["method.seed"] == ["0", "1"]
    failed = [run for run in found["runs"] if run["settings"]["problem.start.covariance"] != 1.0]
    assert len(failed) == 4
    for run in failed:
        assert run["state"] == "failed"
        assert "covariance" in run["reason"]
        assert set(run["figures"].values()) == {None}
    finished = [run for run in found["runs"] if run not in failed]
    for run in finished:
        assert (run["state"], run["reason"]) == ("finished", None)
        summary = wgf.open_run(run["store"]).summary
        assert run["figures"]["map_error_relative"] == summary.map_error_relative[-1]
        assert run["figures"]["wall_seconds"] == summary.wall_seconds
        method = load(str(folder / f"{run['name']}.toml")).method
        assert (method.step_size, method.seed) == tuple(
            run["settings"][key] for key in ("method.step", "method.seed")
        )
    assert len({run["figures"]["map_error_relative"] for run in finished}) == 4


def test_the_picture_is_of_the_means_over_the_seeds(done):
    folder, said = done
    pictures = json.loads(said.stdout)["pictures"]
    names = ["method.step", "problem.start.covariance", "wall_seconds"]
    assert pictures == [str(folder / f"map_error_relative-over-{x}.png") for x in names]
    for picture in pictures:
        assert Path(picture).read_bytes().startswith(b"\x89PNG")
    found = as_read(folder)
    ((name, points),) = lines(found, found.named("step"), "map_error_relative").items()
    assert name == "covariance = 1"
    assert [x for x, _ in points] == [0.025, 0.05]
    for step, values in points:
        stores = [folder / f"step={step}_covariance=1.0_seed={seed}.zarr" for seed in (0, 1)]
        assert values == [wgf.open_run(store).summary.map_error_relative[-1] for store in stores]
    shown = sweep(folder, "--look").stdout
    assert f"{statistics.fmean(points[0][1]):.4g} ± " in shown
    assert "2 finished" in shown
    assert "2 failed" in shown


def test_finished_and_failed_runs_are_not_run_again_unless_asked(copy, ran):
    ran.clear()
    again = sweep(copy)
    assert ran == []
    assert again.returncode == 1
    assert again.stdout.count("failed step=") == 4
    assert sweep(copy, "--look", "--retry").returncode == 0
    assert ran == []
    sweep(copy, "--retry")
    assert len(ran) == 4
    assert all("covariance=-1-2-3-" in name for name in ran)


def test_a_wider_grid_runs_what_is_new(copy, ran):
    ran.clear()
    wider = sweep(copy, axes=["method.step=0.05,0.025,0.1", "problem.start.covariance=1.0"])
    assert wider.returncode == 0, wider.stderr
    assert ran == [f"step=0.1_covariance=1.0_seed={seed}" for seed in (0, 1)]


def test_a_half_run_goes_on_bit_for_bit(copy, ran, done):
    """Stopped in the middle of a row, and without a log of an error."""
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    shutil.rmtree(copy / f"{ONE}.zarr")
    run_file, asked = load(str(copy / f"{ONE}.toml")), []

    def stop() -> bool:
        asked.append(True)
        return len(asked) == 3

    half = wgf.solve(
        *build(run_file), wgf.Output(copy / f"{ONE}.zarr", every=0.05),
        configuration=run_file.stored(), stop=stop,
    )  # fmt: skip
    assert not half.summary.finished
    (there,) = [run for run in as_read(copy).outcomes if run.planned.name == ONE]
    assert there.progress.state == "half"
    ran.clear()
    sweep(copy)
    assert ran == [ONE]
    assert_same(wgf.open_run(copy / f"{ONE}.zarr"), wgf.open_run(done[0] / f"{ONE}.zarr"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--grid=method.rtoll=1"], "did you mean 'rtol'"),
        (["--grid=method.rtol=2"], "expected less than 1"),
        (["--picture=method.step"], "not of the form X,Y"),
        (["--picture=seconds,energy"], "no figure 'seconds', did you mean"),
        (["--picture=step,energi"], "no figure 'energi', did you mean 'energy'"),
    ],
)
def test_what_is_wrong_is_said_before_any_run(tmp_path, ran, more, words):
    ran.clear()
    said = sweep(tmp_path / "s", *more)
    assert said.returncode == 2
    assert words in said.stderr
    assert said.stderr.count("\n") == 1
    assert ran == []
    assert not (tmp_path / "s").exists()


def test_a_folder_of_another_sweep_is_refused(copy, ran):
    ran.clear()
    said = sweep(copy, settings=[*SETTINGS, "method.samples=200"])
    assert said.returncode == 2
    assert "says something else than this command" in said.stderr
    assert ran == []
    (copy / f"{ONE}.toml").unlink()
    assert "says what it holds" in sweep(copy).stderr
    (copy.parent / "file").touch()
    assert "is no folder" in sweep(copy.parent / "file").stderr


def test_a_sweep_is_not_for_several_ranks(tmp_path, monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    said = sweep(tmp_path / "s")
    assert said.returncode == 2
    assert "call it on one process" in said.stderr


SBATCH = """#!/bin/bash
printf '%s\\n' "$STORES" "$IN_PLACE" "$OPTIONS" "$@" > "$HERE/given"
echo "17;cluster"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A program `sbatch` that keeps what it is given."""
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("HPC_WGF", str(ROOT))
    return tmp_path


def test_an_array_job_has_a_task_for_every_run_that_is_left(copy, cluster, ran):
    ran.clear()
    shutil.rmtree(copy / f"{ONE}.zarr")
    said = sweep(copy, "--slurm", "--retry")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("submitted 5 runs as job 17;")
    stores, place, options, *given = (cluster / "given").read_text().splitlines()
    assert (stores, place, options) == (str(copy), "1", "--device auto")
    assert given[:4] == ["--parsable", "--array=0-4", "--output=/dev/null",
                         str(ROOT / "slurm" / "array.sbatch")]  # fmt: skip
    assert str(copy / f"{ONE}.toml") in given[4:]
    assert len(given[4:]) == 5
    assert ran == []


def test_where_there_is_no_slurm_or_no_script_a_line_says_so(tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("HPC_WGF", str(tmp_path))
    assert "there is no " in sweep(tmp_path / "s", "--slurm").stderr
    monkeypatch.setenv("HPC_WGF", str(ROOT))
    monkeypatch.setenv("PATH", "/nowhere")
    said = sweep(tmp_path / "s", "--slurm")
    assert said.returncode == 2
    assert "no sbatch here" in said.stderr


def test_the_script_takes_the_files_of_its_task(tmp_path):
    """With what is around it in its place: stores and logs by the names of the runs."""
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "environment.sh").write_text(
        'stores="$STORES"; preemptible() { echo "would run: $*"; }\n'
    )
    variables = {
        "HPC_WGF": str(tmp_path), "STORES": str(tmp_path), "OPTIONS": "--device cpu",
        "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "5",
    }  # fmt: skip
    script = ["bash", ROOT / "slurm" / "array.sbatch", "a.toml", "b=1,2.toml"]
    for place, log, store in (
        ("1", tmp_path / "b=1,2.log", "b=1,2.zarr"), ("", None, "b=1,2-5_1.zarr"),
    ):  # fmt: skip
        done = subprocess.run(
            script, env={**os.environ, **variables, "IN_PLACE": place},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        said = done.stdout if log is None else log.read_text()
        # A log of a run holds what each of its attempts said.
        begun = "" if log is None else f"{ATTEMPT}\n"
        assert said == (
            f"{begun}would run: bash launch/torchrun.sh run b=1,2.toml --out {tmp_path}/{store} "
            "--resume --device cpu\n"
        )
