"""Ctrl-C under a launcher, which receives it and hands it on."""

from __future__ import annotations

import json
import signal
import time

import pytest
from processes import MPIRUN, SMALL, launched

from hpc_wgf import open_run

LONG = [*SMALL, "--set", "output.every=0.2", "--set", "method.step=0.001"]


@pytest.mark.parametrize("launcher", ["torchrun", MPIRUN])
def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on(tmp_path, launcher):
    """Steps after the first row are kept, and both launchers end."""
    log, metrics = tmp_path / "log", tmp_path / "m.jsonl"
    job = launched(
        "run", "ou-2d", *LONG, "--out", tmp_path / "run", "--log-file", log, "--metrics", metrics,
        ranks=2, launcher=launcher,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not metrics.exists() or metrics.read_text().count('"event": "step"') < 3:
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    job.send_signal(signal.SIGINT)
    said = job.communicate(timeout=60)[1]
    assert job.returncode != 0
    assert open_run(tmp_path / "run").rows == 1
    stops = [line for line in metrics.read_text().splitlines() if '"event": "stop"' in line]
    if launcher == "torchrun":  # Open MPI kills its ranks within half a second, and says no more.
        assert f"go on with: hpc-wgf resume {tmp_path / 'run'}" in said
        assert "stopped on request" in log.read_text().splitlines()[-1]
        assert len(stops) == 1
    for stop in stops:
        assert 3 <= json.loads(stop)["steps_taken"] < 200
        assert (tmp_path / "run" / "checkpoint.npz").exists()
