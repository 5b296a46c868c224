"""Stores of older schemas are read, reported and checked, and not resumed. The one of schema 3 was
written by the last version that wrote it; 2 and 1 lack some of its arrays."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf.cli import app
from hpc_wgf.pictures import draw
from hpc_wgf.store import RunWriter, check

SCHEMA_3 = Path(__file__).parents[2] / "support" / "schema3.zip"
NEW_IN = {3: ["step_eta_norm", "step_nonlinearity", "step_shift"],
          2: ["energy_rate_measured", "folded"]}  # fmt: skip


@pytest.fixture(params=[3, 2, 1])
def version(request) -> int:
    return request.param


@pytest.fixture
def store(tmp_path, version) -> Path:
    path = tmp_path / "run"
    shutil.unpack_archive(SCHEMA_3, path)
    if version < 3:
        group = zarr.open_group(path, mode="a", use_consolidated=False)
        for name in (name for number in range(version + 1, 4) for name in NEW_IN[number]):
            del group[name]
        group.attrs["schema_version"] = version
        with pytest.warns(UserWarning, match="Consolidated metadata"):
            zarr.consolidate_metadata(group.store)
    return path


def test_it_is_read(store, version):
    run = wgf.open_run(store)
    assert (run.schema, run.rows, run.steps) == (version, 3, 4)
    assert run.column("time").tolist() == [0.0, 0.1, 0.2]
    assert run.column("energy") == pytest.approx([38.2056805, 16.7443335, 7.2351016])
    assert run.column("step_products").dtype == np.int64
    assert run.column("particles").shape == (3, 64, 2)
    assert run.theta(-1).shape == (6,)
    assert run.last("energy") == pytest.approx(7.2351016)
    assert run.particle_times.tolist() == [0.0, 0.1, 0.2]
    assert run.attributes["configuration"]["problem"]["name"] == "ou-2d"
    assert np.isnan(run.column("stage")).all()
    assert np.isnan(run.column("step_shift")).all() == (version < 3)


def test_it_is_reported(store, version, tmp_path):
    summary = wgf.Summary.of_store(wgf.open_run(store))
    assert summary.energy == pytest.approx([38.2056805, 16.7443335, 7.2351016])
    assert summary.worst_residual == pytest.approx(1.9081914e-08)
    assert (summary.energy_rate_measured is None) == (version == 1)
    assert summary.largest_shift == (pytest.approx(1e-7) if version == 3 else None)
    assert summary.folded == [0, 0, 0]
    done = CliRunner().invoke(app, ["report", str(store), "--json"])
    assert done.exit_code == 0
    draw(wgf.open_run(store), tmp_path / "run.png")


def test_it_is_checked(store):
    assert check(wgf.open_run(store)) == []
    for name, file in (("particles", "c/1/0/0"), ("energy", "c/0"), ("time", "c/0")):
        (store / name / file).unlink()
    found = {(flaw.array, flaw.row) for flaw in check(wgf.open_run(store))}
    assert found == {("particles", 1), ("energy", None), ("time", None)}


def test_it_is_shown_by_xarray(store, version):
    data = wgf.open_run(store).to_xarray()
    assert data.particles.dims == ("time", "sample", "axis")
    assert set(data.coords) == {"time", "step", "step_time", "sample", "axis"}
    assert data.energy.attrs["long_name"] == "F(rho), mean over the evaluation sample"
    assert ("step_shift" in data) == (version == 3)


def test_it_is_not_resumed(store, version):
    said = rf"older version \(schema {version}\): its figures can be read, its maps cannot"
    problem, map, options = wgf.load_problem("ou-2d", "method.samples=64")
    with pytest.raises(wgf.InputError, match=said):
        wgf.solve(problem, map, options, wgf.Output(store), resume=True)
    done = CliRunner().invoke(app, ["resume", str(store)])
    assert done.exit_code == 2
    assert "cannot be resumed" in done.output
    with pytest.raises(wgf.InputError, match=said):
        RunWriter.reopen(
            store, wgf.parallel.LocalCommunicator(), slice(0, 64), rows=3, steps=4, attributes={}
        )
    assert not (store / ".lock").exists()
