"""Runs in processes of their own: small programs stand for them."""

from __future__ import annotations

import sys
import time

import pytest

from hpc_wgf.studies import jobs
from hpc_wgf.studies.folder import ATTEMPT, RunFiles, State

PROGRAMS = {
    "sound": "print('all is well')",
    "wrong": "import sys; print('warning: x\\nerror: a value is wrong\\n  more', file=sys.stderr);"
             "sys.exit(2)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "mute": "import sys; sys.exit(3)",
    "long": "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75));"
            "print('up', flush=True); time.sleep(60)",
}  # fmt: skip


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(
        jobs, "command_of", lambda files, options: [sys.executable, "-c", PROGRAMS[files.name]]
    )
    return {name: RunFiles(tmp_path, name) for name in PROGRAMS}


def test_a_run_that_fails_ends_no_other_and_its_log_says_why(runs):
    told: dict[str, list[str]] = {}
    some = [runs[name] for name in ("wrong", "killed", "mute", "sound")]
    stopped = jobs.carry_out(
        some, (), at_once=2, stop=lambda: False,
        tell=lambda files, what: told.setdefault(files.name, []).append(what.split()[0]),
    )  # fmt: skip
    assert not stopped
    assert told == {**{files.name: ["begins", "failed"] for files in some},
                    "sound": ["begins", "finished"]}  # fmt: skip
    assert runs["wrong"].progress().reason == "a value is wrong more"
    assert runs["killed"].progress().reason == "the run was ended by signal 9"
    assert runs["mute"].progress().reason == "the run ended with status 3"
    assert runs["mute"].progress().state is State.FAILED
    assert runs["sound"].progress().state is State.WAITING  # it has left no store


def test_on_request_those_that_go_on_are_stopped_and_no_others_begin(runs):
    told = []
    begun = time.monotonic()
    stopped = jobs.carry_out(
        [runs["long"], runs["sound"]], (), at_once=1,
        stop=lambda: runs["long"].log.exists() and "up" in runs["long"].log.read_text(),
        tell=lambda files, what: told.append((files.name, what.split(",")[0])),
    )  # fmt: skip
    assert stopped
    assert time.monotonic() - begun < 50
    assert told == [("long", "begins"), ("long", "stopped")]
    assert runs["long"].reason() is None
    assert not runs["sound"].log.exists()


def test_a_store_that_is_none_has_failed(runs):
    runs["sound"].store.mkdir()
    found = runs["sound"].progress()
    assert found.state is State.FAILED
    assert "no run in" in found.reason


def test_a_reason_is_one_short_line(runs):
    runs["sound"].log.write_text(f"error: first\nerror: {'long ' * 100}\n")
    assert len(runs["sound"].reason()) == 300
    assert runs["sound"].reason().startswith("long long")


def test_a_run_that_another_process_has_in_hand_has_not_failed(runs):
    """Its own attempt goes on, or has ended with what stands before."""
    busy = "error: the store is being written by another process: wait for it or end it\n"
    runs["sound"].log.write_text(f"{ATTEMPT}\nat work\n{ATTEMPT}\n{busy}")
    assert runs["sound"].is_run_by_another()
    assert runs["sound"].reason() is None
    runs["sound"].log.write_text(f"{ATTEMPT}\nerror: before\n{ATTEMPT}\nat work\n")
    assert runs["sound"].reason() is None
