"""New samples in files of every format."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
import xarray
from processes import here, solved

import hpc_wgf as wgf
from hpc_wgf.results import sample_files
from hpc_wgf.results.sample_formats import SampleTable

NAMES = ("x", "log_density", "score", "z", "log_weight", "time", "seed")


def drawn(store, out, *options):
    done = here("sample", store, *options, "--out", out)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_format_holds_the_same(ou, tmp_path, monkeypatch):
    monkeypatch.setattr(SampleTable, "rows_at_once", 300)
    for ending in ("npz", "zarr", "nc"):
        said = drawn(ou, tmp_path / f"new.{ending}", "--time", "0.13", "-n", "1000", "--seed", "5")
        assert "1000 samples of ou-2d at t = 0.13 on 1 rank(s)" in said
        assert "between stored rows: interpolated, wrong by up to" in said
    expected = wgf.open_run(ou).sample(1000, 0.13, seed=5)
    found = np.load(tmp_path / "new.npz")
    labelled = [
        xarray.open_dataset(tmp_path / "new.nc", engine="scipy"),
        xarray.open_zarr(tmp_path / "new.zarr", consolidated=False),
    ]
    for name in NAMES:
        assert np.array_equal(found[name], getattr(expected, name)), name
        for data in labelled:
            assert np.array_equal(found[name], data[name]), name
    assert labelled[0]["x"].dims == labelled[1]["x"].dims == ("sample", "axis")
    assert {path.name for path in tmp_path.iterdir()} == {"new.npz", "new.zarr", "new.nc"}


def test_a_table_has_a_column_for_every_axis(ou, tmp_path, monkeypatch):
    """Arrow itself is not needed to see what it is given."""
    written = []

    class Writer:
        def __init__(self, path, schema):
            self.path = path

        def write_table(self, table):
            written.append(table)

        def close(self):
            self.path.write_text("parquet")

    arrow = type(sys)("pyarrow")
    arrow.table = lambda columns: type("Table", (dict,), {"schema": None})(columns)
    arrow.parquet = type(sys)("pyarrow.parquet")
    arrow.parquet.ParquetWriter = Writer
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", arrow.parquet)
    monkeypatch.setattr(sample_files, "find_spec", lambda name: object())
    drawn(ou, tmp_path / "new.parquet", "-n", "50")
    (table,) = written
    expected = wgf.open_run(ou).sample(50)
    assert np.array_equal(table["x_2"], expected.x[:, 1])
    assert np.array_equal(table["z_1"], expected.z[:, 0])
    assert np.array_equal(table["log_density"], expected.log_density)
    assert (table["time"] == 0.2).all()
    assert len(table) == 3 * 2 + 4


def test_the_mean_log_density_of_a_porous_medium_is_the_exact_one(tmp_path):
    """E log ρ in fifteen dimensions, of the Barenblatt profile at a later time."""
    store = tmp_path / "porous.zarr"
    solved(
        "run", "porous-15d", "--set", "problem.until=1.1", "--set", "method.samples=2000",
        "--set", "output.bound=false", "--out", store,
    )  # fmt: skip
    said = json.loads(drawn(store, tmp_path / "new.npz", "-n", "20000", "--json"))
    problem = wgf.open_run(store).problem
    start, z = problem.start, torch.from_numpy(np.load(tmp_path / "new.npz")["z"])
    later = wgf.Barenblatt(15, start.m, start.time + problem.exact.factor * 0.1)
    exact = later.log_density(problem.exact(0.1, z)).mean()
    assert said["mean_log_density"] == pytest.approx(float(exact), rel=1e-3)
    assert (said["samples"], said["folded"], said["interpolation_error"]) == (20000, 0, 0.0)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("new.txt", (), "give a file that ends in .zarr, .npz, .nc, .parquet"),
        ("no/new.npz", (), "there is no folder"),
        ("old.npz", (), "exists already"),
        ("new.npz", ("--time", "7"), "t = 7 is outside of"),
        ("new.npz", ("-n", "0"), "at least 1"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(ou, tmp_path, monkeypatch, name, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.npz").touch()
    done = here("sample", ou, "-n", "10", *options, "--out", name)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old.npz"]


def test_a_table_needs_pyarrow(ou, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_files, "find_spec", lambda name: None)
    done = here("sample", ou, "-n", "10", "--out", tmp_path / "new.parquet")
    assert done.returncode == 2
    assert "needs pyarrow, which is not installed here: pip install 'hpc-wgf[parquet]'" in (
        done.stderr
    )
