"""A run that is stopped between two rows goes on bit for bit, on any number of ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from processes import SMALL, cli
from stores import assert_same

import hpc_wgf as wgf
from hpc_wgf.parallel import status_of_stop, stop_request
from hpc_wgf.store import Checkpoint, check, forget_checkpoint


def small(until: float = 0.4, **options):
    parts = [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)]
    problem = wgf.Problem(parts, wgf.Gaussian(2), until=until)
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 8))
    return problem, map, wgf.PWGFOptions(samples=200, rtol=1e-4, **options)


class After:
    """A request to stop at the end of a process's step number `steps`."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize(
    "options",
    [
        {"step_size": 0.02},
        {"step_size": 0.02, "preconditioner": "nystrom"},
        {"step_size": 0.02, "preconditioner": "kronecker", "dtype": torch.float32},
        {"step_size": 0.02, "preconditioner": "outputs"},
        {"step_size": 0.02, "preconditioner": "none"},
        {"step_size": 0.02, "validation": 0.5},
        {"step_size": 0.02, "scheme": "kutta32", "tolerance": 3e-3},
        {"step_size": 0.05, "scheme": "rkc2", "tolerance": 2e-2},
    ],
    ids=lambda options: ", ".join(map(str, options.values())),
)
def test_a_run_that_is_stopped_again_and_again_is_the_undisturbed_one(tmp_path, options):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    wgf.solve(*small(**options), wgf.Output(whole, every=0.2))
    first = wgf.solve(*small(**options), wgf.Output(torn, every=0.2), stop=After(2))
    assert not first.summary.finished
    assert len(first.summary.times) == 1  # stopped between two rows
    assert not check(wgf.open_run(torn))
    stops = 1
    while not (
        wgf.solve(*small(**options), wgf.Output(torn), resume=True, stop=After(7)).summary.finished
    ):
        stops += 1
    assert stops > 1
    assert_same(wgf.open_run(whole), wgf.open_run(torn))
    assert not (torn / "checkpoint.npz").exists()


def test_a_preconditioner_that_has_lasted_is_made_again_with_its_age(tmp_path):
    """Otherwise the resumed run would replace it at another step."""
    options = {"step_size": 0.02, "preconditioner": "dense"}
    wgf.solve(*small(**options), wgf.Output(tmp_path / "run", every=0.4), stop=After(6))
    kept = Checkpoint.read(tmp_path / "run", rows=1)
    assert kept is not None
    assert kept.step == 6
    assert int(kept.memory["made_step"]) < 6
    assert kept.memory["counts"][0] > 0
    assert len(kept.steps["time"]) == 6


def test_a_stop_at_a_row_needs_no_more_than_the_row(tmp_path):
    options = {"step_size": 0.1}
    run = wgf.Output(tmp_path / "run", every=0.1)
    stopped = wgf.solve(*small(**options), run, stop=After(2))
    assert stopped.summary.times == pytest.approx([0.0, 0.1, 0.2])
    wgf.solve(*small(**options), run, resume=True)
    wgf.solve(*small(**options), wgf.Output(tmp_path / "whole", every=0.1))
    assert_same(wgf.open_run(tmp_path / "whole"), wgf.open_run(tmp_path / "run"))


def test_a_checkpoint_beyond_the_end_that_is_now_asked_for_is_not_taken(tmp_path):
    """The state was that of the checkpoint, no row was written, and "go on" led back here."""
    wgf.solve(*small(step_size=0.02), wgf.Output(tmp_path / "run", every=0.2), stop=After(6))
    found = wgf.solve(*small(0.1, step_size=0.02), wgf.Output(tmp_path / "run"), resume=True)
    assert (found.summary.finished, found.time, found.summary.times) == (True, 0.1, [0.0, 0.1])


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    output = wgf.Output(tmp_path / "run", every=0.2)
    solved = wgf.solve(*small(step_size=0.02), output, stop=After(2))
    kept = Checkpoint.read(tmp_path / "run", 1)
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        replace(kept, step=99).write(tmp_path / "run", 1)
    assert Checkpoint.read(tmp_path / "run", 1).step == kept.step
    assert not list((tmp_path / "run").glob("*.part"))
    assert solved.time == kept.time


def test_a_checkpoint_is_void_after_the_next_row(tmp_path):
    """As where the process is killed between the commit and the removal."""
    options, run = {"step_size": 0.02}, tmp_path / "run"
    wgf.solve(*small(**options), wgf.Output(run, every=0.2), stop=After(3))
    old = (run / "checkpoint.npz").read_bytes()
    wgf.solve(*small(until=0.2, **options), wgf.Output(run), resume=True)
    (run / "checkpoint.npz").write_bytes(old)
    assert Checkpoint.read(run, rows=2) is None
    wgf.solve(*small(**options), wgf.Output(run), resume=True)
    wgf.solve(*small(**options), wgf.Output(tmp_path / "whole", every=0.2))
    assert_same(wgf.open_run(tmp_path / "whole"), wgf.open_run(run))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_checkpoint_is_refused_and_says_how_to_go_on(tmp_path, damage):
    run = tmp_path / "run"
    wgf.solve(*small(step_size=0.02), wgf.Output(run, every=0.2), stop=After(3))
    file = run / "checkpoint.npz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(wgf.InputError, match="damaged: .* --forget-checkpoint"):
        wgf.solve(*small(step_size=0.02), wgf.Output(run), resume=True)
    forget_checkpoint(run)
    assert not file.exists()
    assert wgf.solve(*small(step_size=0.02), wgf.Output(run), resume=True).summary.finished


def test_a_store_without_a_row_is_begun_again(tmp_path, monkeypatch):
    """A process killed after the store was made, before its first row was."""
    run = wgf.Output(tmp_path / "run", every=0.2)
    with monkeypatch.context() as patched:
        patched.setattr(wgf.store.RunWriter, "commit", lambda *a, **k: 1 / 0)
        patched.setattr(
            "shutil.rmtree", lambda *a, **k: None
        )  # a killed process takes nothing away
        with pytest.raises(ZeroDivisionError):
            wgf.solve(*small(step_size=0.1), run)
    assert wgf.open_run(tmp_path / "run").rows == 0
    assert wgf.solve(*small(step_size=0.1), run, resume=True).summary.finished
    wgf.solve(*small(step_size=0.1), wgf.Output(tmp_path / "whole", every=0.2))
    assert_same(wgf.open_run(tmp_path / "whole"), wgf.open_run(tmp_path / "run"))


def test_a_store_that_cannot_be_made_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("zarr.consolidate_metadata", lambda path, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wgf.solve(*small(step_size=0.1), wgf.Output(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_signals_are_noted_inside_and_obeyed_outside():
    before = signal.getsignal(signal.SIGTERM)
    with stop_request() as request:
        assert not request()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert request()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stopped_run_has_a_status_of_its_own_unless_that_would_restart_it():
    assert status_of_stop({}) == 75
    assert status_of_stop({"TORCHELASTIC_MAX_RESTARTS": "0"}) == 75
    assert status_of_stop({"TORCHELASTIC_MAX_RESTARTS": "3"}) == 0


def test_a_signal_stops_the_command_and_its_next_start_goes_on(tmp_path):
    command = ["run", "ou-2d", *SMALL, "--set", "output.every=0.2", "--set", "method.step=0.005"]
    started = [sys.executable, "-m", "hpc_wgf", *command, "--out", str(tmp_path / "torn")]
    job = subprocess.Popen([*started, "--resume"], stderr=subprocess.PIPE, text=True)
    assert job.stderr is not None
    assert any("stored" in line for line in job.stderr)  # the first row: the loop has begun
    time.sleep(0.2)
    job.send_signal(signal.SIGUSR1)
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 75
    assert "go on with: hpc-wgf resume" in said
    assert (tmp_path / "torn" / "checkpoint.npz").exists()
    assert cli(*command, "--out", tmp_path / "torn", "--resume").returncode == 0
    assert cli(*command, "--out", tmp_path / "whole", "--resume").returncode == 0
    assert_same(wgf.open_run(tmp_path / "whole"), wgf.open_run(tmp_path / "torn"))


def test_resume_of_a_run_file_that_says_otherwise_is_refused(tmp_path):
    run = ["run", "ou-2d", *SMALL, "--out", tmp_path / "run", "--resume"]
    assert cli(*run).returncode == 0
    other = cli(*run, "--set", "output.every=0.1")
    assert other.returncode == 2
    assert "output.every: stored 0.05, given 0.1" in other.stderr
