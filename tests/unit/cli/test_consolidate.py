"""`hpc-wgf consolidate`: one map in place of the chain of a stored run, in a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from processes import here, solved

import hpc_wgf as wgf

IN_STAGES = [
    "styblinski-tang-2d", "--set", 'map=[{kind="spline",knots=8}]', "--set", "method.samples=256",
    "--set", "problem.until=0.06", "--set", "output.every=0.02",
    "--set", "stages.when=[0.02,0.04]",
]  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "run.zarr"
    solved("run", *IN_STAGES, "--out", path)
    return path


@pytest.fixture
def store(stored, tmp_path, monkeypatch):
    shutil.copytree(stored, tmp_path / "run.zarr")
    monkeypatch.chdir(tmp_path)
    return Path("run.zarr")


def test_one_map_in_place_of_three_is_written_and_read_again(store):
    """The same map as in Python; its images are those of the run, but for the misfit."""
    chosen = ["--set", "map.0.knots=40", "--samples", "10000"]
    done = here("consolidate", store, "--time", "0.06", *chosen, "--out", "map.npz", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    path = wgf.Trajectory.of(store)
    chain, start = path.map(0.06), path.spec.problem.start
    expected = wgf.consolidate(chain, start, wgf.AxisSpline(2, 40), samples=10_000)
    assert (said["stages"], said["parameters"], said["folded"]) == (3, 80, 0)
    assert said["misfit_relative"] == expected.misfit_relative < 1e-3
    map = wgf.load_map("map.npz")
    assert torch.equal(map.get_theta(), expected.map.get_theta())
    run = wgf.open_run(store)
    z, x = (torch.from_numpy(run.particles(row)) for row in (0, -1))
    with torch.no_grad():
        missed = (map(z) - x).norm(dim=1).square().mean() ** 0.5
    assert float(missed) < 3 * expected.misfit  # few samples, and most of it is in the tails


def test_the_kind_of_map_is_that_of_the_store_or_of_a_run_file(store):
    done = here("consolidate", store, "--time", "0.04", "--out", "own.npz")
    assert done.returncode == 0, done.stderr
    assert "one map of 16 parameters in place of 2" in done.stdout
    assert "stored in own.npz" in done.stdout
    Path("affine.toml").write_text('base = "ou-2d"\nmap = [{ kind = "affine" }]\n')
    done = here("consolidate", store, "--time", "0.04", "--map", "affine.toml", "--out", "a.npz")
    assert done.returncode == 0, done.stderr
    assert isinstance(wgf.load_map("a.npz"), wgf.Affine)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--time", "0.05"], "has no row at t = 0.05: the nearest is at t ="),
        (["--time", "nan"], "has no row at t = nan"),
        (["--time", "0.06", "--samples", "7"], "too few for the 16 parameters"),
        (["--time", "0.06", "--samples", "0"], "expected at least 1"),
        (["--time", "0.06", "--seed", "-1"], "expected at least 0"),
        (["--time", "0.06", "--map", "nix"], "`hpc-wgf list` shows all"),
        (["--time", "0.06", "--set", "map.0.knots=2"], "expected at least 3"),
        (["--time", "0.06", "--set", "map.0.knot=9"], "map.0.knot: unknown key"),
        (["--time", "0.06", "--set", "problem.until=1"], "does not concern the map"),
        (["--time", "0.06", "--out", "run.zarr"], "exists already, and is not overwritten"),
        (["--time", "0.06", "--out", "nix/map.npz"], "there is no folder nix"),
        (["--time", "0.06", "--out", "s3://bucket/map.npz"], "is a URL"),
        (["--time", "0.06", "--map", "user.toml"], "cannot be made again from plain data"),
        ([], "--time"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_before_any_work(store, arguments, said, monkeypatch):
    Path("net.py").write_text(
        "from torch.nn import Linear, Sequential, Tanh\n"
        "net = lambda d: Sequential(Linear(d, d), Tanh())\n"
    )
    Path("user.toml").write_text(
        'base = "ou-2d"\nmap = [{ kind = "module", factory = "net:net", anchored = true }]\n'
    )
    monkeypatch.syspath_prepend(".")
    before = {path.name for path in Path().iterdir()}
    out = [] if "--out" in arguments else ["--out", "map.npz"]
    done = here("consolidate", store, *arguments, *out)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.rstrip("\n").split("\n")
    assert line.startswith("error: ")
    assert said in line
    assert done.stdout == ""
    assert {path.name for path in Path().iterdir()} - {"__pycache__"} == before


def test_what_a_store_names_is_imported_only_on_trust(store, monkeypatch):
    Path("own.py").write_text(
        "from pathlib import Path\nPath('ran').touch()\ndef V(x): return 0.5 * (x * x).sum(1)\n"
    )
    monkeypatch.syspath_prepend(".")
    solved("run", "ou-2d", "--set", 'problem.energy.0={kind="user",function="own:V"}', "--set",
           "method.samples=100", "--set", "problem.until=0.02", "--out", "own.zarr")  # fmt: skip
    Path("ran").unlink()
    monkeypatch.delitem(__import__("sys").modules, "own")
    ask = ["consolidate", "own.zarr", "--time", "0.02", "--out", "map.npz"]
    done = here(*ask)
    assert done.returncode == 2
    assert "say --trust" in done.stderr
    assert not Path("ran").exists()
    assert here(*ask, "--trust").returncode == 0
    assert Path("ran").exists()


def test_a_run_from_python_objects_says_how(store):
    wgf.solve(*wgf.load_problem("ou-2d", "method.samples=100", "problem.until=0.02"), "python.zarr")
    done = here("consolidate", "python.zarr", "--time", "0.02", "--out", "map.npz")
    assert done.returncode == 2
    assert "hpc_wgf.consolidate(chain, start, map)" in done.stderr
