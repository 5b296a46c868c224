"""Paths as users give them: what is none is refused in one line, before anything is made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from processes import here

import hpc_wgf as wgf

SHORT = ["--set", "problem.until=0.02", "--set", "method.samples=50",
         "--set", 'map=[{kind="affine"}]']  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """An empty home and an empty working directory."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("s3://bucket/run.zarr", "is a URL: expected a path on a file system"),
        ("gs://bucket/run.zarr", "is a URL"),
        ("http://host/run.zarr", "is a URL"),
        ("file:///tmp/run.zarr", "is a URL"),
        ("a/..", "there is no folder a to go back from"),
        ("a/b/../../run.zarr", "there is no folder a/b to go back from"),
        ("", "will not write to .: what is there is no run. Choose another --out"),
        (".", "what is there is no run"),
        ("..", "what is there is no run"),
        ("/", "what is there is no run"),
        ("folder", "what is there is no run. Choose another --out"),
        ("folder/", "what is there is no run"),
        ("folder/..", "what is there is no run"),
        ("file", "it exists. Choose another --out"),
        ("file/run.zarr", "cannot create the store"),
        ("x" * 300, "cannot create the store"),
        ("dangling", "it exists"),
        ("a\nb", "control characters in it"),
        ("a\x1b[31mb", "control characters in it"),
        ("a\u2028b", "control characters in it"),
        ("a\udcffb", "control characters in it"),
        ("~nobody-of-that-name/run", "the home folder is not known"),
    ],
)
def test_what_is_no_place_for_a_store_is_refused(out, said):
    Path("folder").mkdir()
    Path("file").write_text("")
    Path("dangling").symlink_to("nowhere")
    done = here("run", "ou-2d", *SHORT, "--out", out)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "resume" not in done.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["dangling", "file", "folder"]


def test_a_tilde_is_the_home_folder(home):
    """In every path that a command takes."""
    shown = here("show", "ou-2d").stdout
    (home / "mine.toml").write_text(shown)
    done = here("run", "~/mine.toml", *SHORT, "--out", "~/deep/run.zarr/")
    assert done.returncode == 0, done.stderr
    assert f"stored in {home}/deep/run.zarr" in done.stdout.replace("\n", "")
    for command in (["check"], ["report"], ["resume", "--until", "0.03"]):
        assert here(command[0], "~/deep/run.zarr", *command[1:]).returncode == 0
    drawn = here("report", "~/deep/run.zarr", "--picture", "~/run.png")
    assert (drawn.returncode, (home / "run.png").exists()) == (0, True)
    assert wgf.open_run("~/deep/run.zarr").column("time")[-1] == 0.03
    assert list(Path().iterdir()) == []


def test_a_run_from_files_of_samples_goes_on_in_every_working_directory(home, monkeypatch):
    """The store keeps the whole path."""
    np.save("x.npy", np.random.default_rng(0).standard_normal((400, 2)))
    start = 'problem.start={kind="samples", path="x.npy", density="fitted"}'
    given = ["--set", start, "--set", "method.form=energy"]
    begun = here("run", "ou-2d", *SHORT, *given, "--out", "~/run")
    assert begun.returncode == 0, begun.stderr
    kept = str(Path("x.npy").absolute())
    monkeypatch.chdir(home)
    tables = wgf.open_run("run").attributes["configuration"]["problem"]
    assert tables["start"]["path"] == kept
    for command in (["resume", "run", "--until", "0.03"], ["report", "run", "--expectations"],
                    ["sample", "run", "-n", "50", "--out", "s.npz"]):  # fmt: skip
        done = here(*command)
        assert done.returncode == 0, done.stderr


def test_a_store_of_python_has_a_local_path(home):
    spec = wgf.load_problem("ou-2d", "problem.until=0.02", "method.samples=50")
    wgf.solve(*spec, wgf.Output("~/run", every=0.02))
    assert (home / "run" / "zarr.json").exists()
    for path in ("s3://bucket/run", "a\nb"):
        with pytest.raises(wgf.InputError, match="is a URL|control characters"):
            wgf.Output(path)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\u2029b"])
def test_a_name_with_control_characters_is_refused(name):
    done = here("run", "ou-2d", *SHORT, "--set", f"problem.name={json.dumps(name)}")
    assert done.returncode == 2
    assert "a name without slashes and control characters" in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stderr.count("\n") == 1
    parts = [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)]
    with pytest.raises(wgf.InputError, match="expected a line of text"):
        wgf.Problem(parts, wgf.Gaussian(2), 1.0, name=name)


@pytest.mark.parametrize("store", ["folder", "file", "nowhere", "s3://bucket/run", "a\nb", "loop"])
@pytest.mark.parametrize("command", ["report", "check", "resume"])
def test_what_is_no_store_is_said_in_one_line(command, store):
    Path("folder").mkdir()
    Path("file").write_text("")
    Path("loop").symlink_to("loop")
    done = here(command, store)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Errno" not in done.stderr


def test_a_run_that_is_to_go_on_where_no_run_is_says_so():
    Path("folder").mkdir()
    done = here("run", "ou-2d", *SHORT, "--out", "folder", "--resume")
    assert done.returncode == 2
    assert "no run in folder: it has no zarr.json" in done.stderr
