"""Streams as one is given them, and what a run tells on them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from processes import SMALL, here

from hpc_wgf import open_run

TINY = ["--set", "problem.until=0.1", "--set", "output.every=0.05", "--set", "method.samples=100"]
PROGRAM = f"{sys.executable} -m hpc_wgf"


def shell(command: str, folder) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=folder, capture_output=True, timeout=120,
    )  # fmt: skip


def test_a_run_without_standard_error_on_a_terminal_of_latin_1(tmp_path):
    options = " ".join(TINY)
    run = f"PYTHONIOENCODING=latin-1 {PROGRAM} run ou-2d {options} --out a.zarr 2>&-"
    done = shell(run, tmp_path)
    assert done.returncode == 0
    assert done.stdout.decode("latin-1").endswith("finished\nstored in a.zarr\n")


def test_characters_that_an_encoding_lacks_are_written_by_similar_ones(tmp_path):
    done = shell(f"PYTHONIOENCODING=latin-1 {PROGRAM} keys problem.energy", tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode("latin-1")
    assert "½ (x-mean)" in said  # Latin-1 has the fraction, but no minus sign.


@pytest.mark.parametrize("command", ["keys", "list", "guide method"])
def test_a_reader_who_leaves_ends_nothing(tmp_path, command):
    done = shell(f"{PROGRAM} {command} | head -c 1", tmp_path)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1, b"")


def test_output_that_cannot_be_written_is_one_line(tmp_path):
    done = shell(f"{PROGRAM} list > /dev/full", tmp_path)
    said = b"error: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_numbers_are_whole_where_no_terminal_is(tmp_path, monkeypatch, columns):
    """In units of J/mol, with nine digits before the point, in a narrow log."""
    monkeypatch.setenv("COLUMNS", columns)
    wide = [
        "--set", "problem.energy.0.factor=1e9", "--set", "problem.energy.1.beta=1e9",
        "--set", "problem.until=1e-10", "--set", "output.every=1e-10", "--set", "method.step=1e-10",
    ]  # fmt: skip
    done = here("run", "ou-2d", *wide, "--set", "method.samples=100", "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    stored = open_run(tmp_path / "a")
    rows = done.stdout.splitlines()[2:4]
    for row, time, energy in zip(rows, stored.column("time"), stored.column("energy"), strict=True):
        assert row.split()[:2] == [f"{time:.9g}", f"{energy:.6f}"]
    assert "…" not in done.stdout


def test_small_energies_keep_their_digits(tmp_path):
    small = [
        "--set", "problem.energy.0.factor=1e-9", "--set", "problem.energy.1.beta=1e-9",
        "--set", "problem.until=1e8", "--set", "output.every=1e8", "--set", "method.step=1e8",
    ]  # fmt: skip
    done = here("run", "ou-2d", *small, "--set", "method.samples=100", "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    shown = [float(row.split()[1]) for row in done.stdout.splitlines()[2:4]]
    np.testing.assert_allclose(shown, open_run(tmp_path / "a").column("energy"), rtol=1e-6)


def test_a_name_with_dollars_is_drawn(tmp_path):
    name = "problem.name=cost $x_$ y"
    done = here("run", "ou-2d", *TINY, "--set", name, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    done = here("report", tmp_path / "a", "--picture", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_run_file_with_a_byte_order_mark_is_read(tmp_path, ends):
    text = ends.join(['base = "ou-2d"', "[problem]", 'title = "Grün"', "until = 0.02"])
    (tmp_path / "bom.toml").write_bytes(text.encode("utf-8-sig"))
    done = here("run", tmp_path / "bom.toml", *TINY[2:], "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert open_run(tmp_path / "a").attributes["until"] == 0.02


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_are_the_figures_of_the_store_line_by_line(tmp_path):
    tell = ["--metrics", tmp_path / "m.jsonl", "--log", tmp_path / "log", "-q"]
    done = here("run", "ou-2d", *SMALL, "--out", tmp_path / "a", *tell)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = here("resume", tmp_path / "a", "--until", "0.3", *tell)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lines, stored = lines_of(tmp_path / "m.jsonl"), open_run(tmp_path / "a")
    assert [line["time"] for line in lines if line["event"] == "resume"] == [0.2]
    for event, prefix in (("row", ""), ("step", "step_")):
        for key in ("time", "energy", "projection_error_fresh"):
            told = [line[key] for line in lines if line["event"] == event]
            assert told == stored.column(prefix + key).tolist()
    log = (tmp_path / "log").read_text().splitlines()
    times = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}  "
    assert all(re.match(times, line) for line in log)
    assert sum("stored" in line and "map error" in line for line in log) == 6
    assert sum("finished at t = " in line for line in log) == 2


def test_a_new_run_overwrites_no_metrics(tmp_path):
    (tmp_path / "m.jsonl").write_text("{}\n")
    done = here("run", "ou-2d", *TINY, "--out", tmp_path / "a", "--metrics", tmp_path / "m.jsonl")
    assert done.returncode == 2
    assert "m.jsonl exists already: give --metrics another file" in done.stderr
    assert (tmp_path / "m.jsonl").read_text() == "{}\n"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("option", ["--log", "--metrics"])
@pytest.mark.parametrize("file", ["no/such/folder", "."])
def test_files_that_cannot_be_written_are_refused_before_any_work(tmp_path, option, file):
    done = here("run", "ou-2d", *TINY, "--out", tmp_path / "a", option, tmp_path / file)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot write {option} {tmp_path / file}: give a file in")
    assert list(tmp_path.iterdir()) == []


def test_a_verbose_run_has_a_line_for_every_step_and_a_log_its_errors(tmp_path):
    options = [*TINY, "--set", "method.step=0.025", "--out", tmp_path / "a"]
    done = here("run", "ou-2d", *options, "-v", "--log", tmp_path / "log")
    lines = done.stderr.splitlines()
    assert sum("products/solve" in line and "stored" not in line for line in lines) == 4
    assert (tmp_path / "log").read_text() == done.stderr
    done = here("run", "ou-2d", *options, "--log", tmp_path / "log")
    assert done.returncode == 2
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith(done.stderr.strip())
    done = here("run", "ou-2d", *options, "-q", "-v")
    assert done.stderr == "error: -q and -v exclude each other: give one of them\n"
