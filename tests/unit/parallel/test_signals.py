"""Signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from hpc_wgf.parallel import stop_request

WAITS = """
import threading
from hpc_wgf.parallel import stop_request
with stop_request(speaks=True):
    print("begun", flush=True)
    threading.Lock().acquire() and threading.Barrier(2).wait()  # as in a collective
"""


@contextmanager
def answered_by(number, handler):
    """What this process has been started with: in the background, SIGINT is ignored."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def heard(number, times=1) -> bool:
    """Whether a request to stop is asked for by a signal to this process."""
    with stop_request() as request:
        assert not request()
        for _ in range(times):
            os.kill(os.getpid(), number)
        time.sleep(0.05)
        return request()


def test_ctrl_c_asks_a_run_to_stop_however_often_a_launcher_forwards_it():
    with answered_by(signal.SIGINT, signal.default_int_handler):
        assert heard(signal.SIGINT, times=3)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_is_ignored_stays_ignored():
    with answered_by(signal.SIGINT, signal.SIG_IGN):
        assert not heard(signal.SIGINT)


def test_a_request_that_a_launcher_has_ignored_so_far_is_heard():
    with answered_by(signal.SIGUSR1, signal.SIG_IGN):
        assert heard(signal.SIGUSR1)


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
