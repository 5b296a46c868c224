"""Rows are written while the run goes on: the store is that of a run that waits for each."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest

import hpc_wgf as wgf
from hpc_wgf.errors import StepFailed
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.store import RunWriter, check
from hpc_wgf.store.pending import PendingRow

OF_THE_CLOCK = {"figures/c/0/0", "step_figures/c/0/0", "zarr.json"}


def solved(path: Path) -> None:
    parts = [wgf.PotentialEnergy(wgf.Quadratic(2, 3.0)), wgf.Entropy(1.0)]
    problem = wgf.Problem(parts, wgf.Gaussian(2), until=0.4)
    method = wgf.PWGFOptions(samples=200, step_size=0.1)
    wgf.solve(problem, wgf.Affine(2), method, wgf.Output(path, every=0.1, shards=3))


def files(store: Path) -> dict[str, bytes]:
    return {
        name: path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and (name := str(path.relative_to(store))) not in OF_THE_CLOCK
    }


@pytest.fixture
def behind(monkeypatch):
    """No row is written before the step after it has ended; those that were, in order."""
    settled, finished, written = RunWriter.settle, RunWriter.finish, PendingRow.write_samples
    stepped, steps, rows = threading.Condition(), [0.0], []

    def after(method, more):
        def seen(self):
            with stepped:
                steps[0] += more
                stepped.notify_all()
            method(self)

        return seen

    def late(self, arrays, span):
        with stepped:
            assert stepped.wait_for(lambda: steps[0] > self.row, timeout=30)
        rows.append(self.row)
        written(self, arrays, span)

    monkeypatch.setattr(RunWriter, "settle", after(settled, 1))
    monkeypatch.setattr(RunWriter, "finish", after(finished, math.inf))
    monkeypatch.setattr(PendingRow, "write_samples", late)
    return rows


def test_the_store_is_that_of_a_run_that_waits(tmp_path, monkeypatch, behind):
    solved(tmp_path / "behind")
    assert behind == list(range(5))
    monkeypatch.undo()
    committed = RunWriter.commit

    def waiting(self, *args, **kwargs):
        committed(self, *args, **kwargs)
        self.finish()

    monkeypatch.setattr(RunWriter, "commit", waiting)
    solved(tmp_path / "waiting")
    found = files(tmp_path / "behind")
    assert found == files(tmp_path / "waiting")
    assert len(found) > 40
    assert check(wgf.open_run(tmp_path / "behind")) == []


@pytest.mark.parametrize("error", [StepFailed, ZeroDivisionError])
def test_a_run_that_fails_keeps_the_rows_that_are_on_their_way(
    tmp_path, monkeypatch, behind, error
):
    advance = PWGF.advance

    def failing(self, state, size):
        if state.step == 3:
            raise error("here")
        return advance(self, state, size)

    monkeypatch.setattr(PWGF, "advance", failing)
    with pytest.raises((wgf.RunError, ZeroDivisionError), match="here"):
        solved(tmp_path / "run")
    assert wgf.open_run(tmp_path / "run").column("time").tolist() == [0.0, 0.1, 0.2, 0.3]
    assert check(wgf.open_run(tmp_path / "run")) == []
