"""Signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from hpc_wgf.parallel import stop_request

WAITS = """
import threading
from hpc_wgf.parallel import stop_request
with stop_request(speaks=True):
    print("begun", flush=True)
    threading.Lock().acquire() and threading.Barrier(2).wait()  # as in a collective
"""


@pytest.fixture
def listening():
    """Tests may have been started in the background, where SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_asks_a_run_to_stop_however_often_a_launcher_forwards_it(listening):
    with stop_request() as request:
        assert not request()
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        assert request()
    assert signal.getsignal(signal.SIGINT) is listening


def test_ctrl_c_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_request() as request:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            assert not request()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_request_that_a_launcher_has_ignored_so_far_is_heard():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with stop_request() as request:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)
            assert request()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_second_ctrl_c_ends_a_process_that_waits_for_others():
    job = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert job.stdout.readline() == "begun\n"
    job.send_signal(signal.SIGINT)
    time.sleep(1.3)
    assert job.poll() is None
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=10)
    assert job.returncode == 130
    assert said.strip().startswith("stopping after this step; Ctrl-C again ends the run at once")
