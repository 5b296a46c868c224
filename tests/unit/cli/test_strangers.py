"""Files that strangers left: in the working folder, and stores that name code to import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import cli, here, solved

import hpc_wgf as wgf
from hpc_wgf.config import catalogue, imported_by, parse
from hpc_wgf.config.toml import parse_toml, with_settings

SMALL = ["--set", "method.samples=100", "--set", "problem.until=0.02", "--set", "method.step=0.01"]
LIBRARIES = [
    "matplotlib",
    "zarr",
    "numcodecs",
    "rich",
    "typer",
    "pydantic",
    "numpy",
    "torch",
    "typing",
    "json",
    "xarray",
    "torch_npu",
    "mpi4py",
]
OWN = """
import sys
from pathlib import Path

Path("ran").touch()


def V(x):
    Path("called").touch()
    return 0.5 * (x * x).sum(1)
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store without a user's code, and one that names module `own` beside it."""
    folder = tmp_path_factory.mktemp("stores")
    solved("run", "ou-2d", *SMALL, "--out", folder / "plain")
    (folder / "own.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert here(
            "run", "ou-2d", "--set", 'problem.energy.0={kind="user", function="own:V"}', *SMALL,
            "--out", folder / "own",
        ).returncode == 0  # fmt: skip
    sys.modules.pop("own")
    return folder


@pytest.fixture
def folder(stores, tmp_path, monkeypatch):
    """A working folder with copies of the stores and a stranger's libraries."""
    for name in ("plain", "own"):
        shutil.copytree(stores / name, tmp_path / name)
    shutil.copy(stores / "own.py", tmp_path)
    for library in LIBRARIES:
        (tmp_path / f"{library}.py").write_text("open('taken', 'w'); raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("own", None)


@pytest.mark.parametrize("launched", ["script", "module"])
def test_libraries_are_not_taken_from_the_working_folder(folder, launched):
    """A picture imports matplotlib when it is drawn, and ran what lay there."""
    arguments = ["report", "plain", "--picture", "plain.png"]
    if launched == "module":
        done = cli(*arguments, launcher="none")
    else:
        script = Path(sys.executable).parent / "hpc-wgf"
        done = subprocess.run([script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "plain.png").stat().st_size > 1000
    assert not (folder / "taken").exists()


def test_nor_while_or_after_a_user_object_is_imported(folder):
    code = (
        "from hpc_wgf.config.imports import load_object\n"
        "load_object('own:V', 'a potential')\n"
        "import matplotlib\n"
        "try: import torch_npu\n"
        "except ModuleNotFoundError: print('clean')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "clean\n", done.stderr
    assert (folder / "ran").exists()
    assert not (folder / "taken").exists()


def test_reading_a_store_runs_no_code_that_it_names(folder):
    for command in (["report"], ["report", "--picture", "own.png"], ["check"]):
        done = here(*command[:1], "own", *command[1:])
        assert done.returncode == 0, done.stderr
    assert not (folder / "ran").exists()


def test_going_on_with_a_store_asks_before_it_runs_code(folder):
    done = here("resume", "own", "--until", "0.03")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "own imports and calls code that it does not hold itself: own:V." in done.stderr
    assert "--trust" in done.stderr
    with pytest.raises(wgf.InputError, match=r"own:V.*trust=True"):
        wgf.Trajectory.of("own")
    assert not (folder / "ran").exists()


def test_so_does_a_report_that_needs_the_problem(folder):
    done = here("report", "own", "--exact-kl")
    assert done.returncode == 2
    assert "own:V" in done.stderr
    assert "--trust" in done.stderr
    assert not (folder / "ran").exists()
    done = here("report", "own", "--exact-kl", "--trust", "--samples", "20", "--paths", "2")
    assert done.returncode == 0, done.stderr
    assert (folder / "called").exists()


def test_with_trust_it_goes_on(folder):
    assert here("resume", "own", "--until", "0.03", "--trust").returncode == 0
    assert (folder / "called").exists()
    assert wgf.Trajectory.of("own", trust=True).times[-1] == 0.03


def test_ones_own_run_file_needs_no_trust(folder):
    text = catalogue.text("ou-2d")
    own = 'energy=[{kind="user", function="own:V"}, {kind="entropy"}]'
    (folder / "mine.toml").write_text(text)
    command = ["run", "mine.toml", "--set", f"problem.{own}", *SMALL, "--out", "mine"]
    assert here(*command).returncode == 0
    assert here(*command, "--resume").returncode == 0


def test_a_store_without_a_users_code_asks_nothing(folder):
    assert here("resume", "plain", "--until", "0.03").returncode == 0


def test_every_import_path_of_a_run_file_is_named():
    settings = [
        'problem.energy=[{kind="user", function="a:V"}, {kind="user", function="a:V"}, '
        '{kind="interaction", kernel={kind="user-kernel", function="b:k"}}]',
        'map=[{kind="affine"}, {kind="module", factory="c:net.made"}]',
    ]
    tables = with_settings(parse_toml(catalogue.text("ou-2d"), "ou-2d"), settings)
    assert imported_by(parse(tables)) == ["a:V", "b:k", "c:net.made"]
