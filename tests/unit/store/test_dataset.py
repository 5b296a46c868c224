"""A run as a labelled Dataset."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray
from stores import commit, small_store

import hpc_wgf as wgf
from hpc_wgf.store import Stage

FIGURES = {
    "energy": "F", "energy_rate": "F/t", "projection_error": "x^2/t^2", "map_error": "x",
    "wall_seconds": "s", "next_step_size": "t", "folded": "1", "step_size": "t",
    "step_products": "1", "step_eta_norm": "1/t", "step_energy": "F",
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("dataset") / "run"
    named = wgf.load_problem("ou-2d", "problem.until=0.2", "method.samples=100", "method.step=0.05")
    wgf.solve(*named, wgf.Output(path, every=0.1))
    return path


@pytest.fixture
def data(store) -> xarray.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return wgf.open_run(store).to_xarray()


def test_every_figure_is_a_variable_with_name_and_unit(store, data):
    run = wgf.open_run(store)
    for column in run.columns:
        assert np.array_equal(data[column.key], run.column(column.key), equal_nan=True)
        assert data[column.key].dims == (column.along,)
        assert data[column.key].attrs == {"long_name": column.long_name, "units": column.unit}
    assert {name: data[name].attrs["units"] for name in FIGURES} == FIGURES
    assert not {"figures", "step_figures"} & set(data.variables)
    assert set(data.coords) == {"time", "step", "step_time", "sample", "axis"}
    assert data.step_time.dims == ("step",)
    assert data.time.values.tolist() == [0.0, 0.1, 0.2]
    assert data.energy.sel(time=0.1) == run.column("energy")[1]
    assert all(array.attrs["units"] for array in data.variables.values())
    assert json.loads(data.attrs["configuration"] or "null") is None


def test_what_is_large_is_read_when_it_is_asked_for(store, data):
    run = wgf.open_run(store)
    for name in ("particles", "log_density", "theta", "velocity"):
        assert isinstance(data[name].data, dask.array.Array)
        assert np.array_equal(data[name], run.column(name))
    assert data.particles.dims == ("time", "sample", "axis")
    assert data.theta.dims == data.velocity.dims == ("time", "parameter")
    assert np.isfinite(data.velocity).all()


def test_the_figures_are_written_to_netcdf(data, tmp_path):
    large = ["particles", "log_density", "theta", "velocity", "stage_theta"]
    figures = data.drop_vars(large).drop_dims("sample")
    figures.to_netcdf(tmp_path / "figures.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "figures.nc", engine="scipy") as again:
        xarray.testing.assert_equal(again, figures)
        assert again.energy.attrs == data.energy.attrs
        assert again.attrs["problem"] == "ou-2d"


def test_rows_that_are_added_later_are_not_seen(tmp_path):
    """Nor is the longer stage that they belong to."""
    store = small_store(tmp_path / "run")
    commit(store, 0.0, 1)
    run = wgf.open_run(tmp_path / "run")
    commit(store, 1.0, 1, parameters=7, number=1, stage=Stage("second", 1.0, np.zeros(7)), taken=1)
    store.close()
    assert dict(run.to_xarray().sizes) == {
        "time": 1, "step": 1, "sample": 100, "axis": 2, "parameter": 5, "stage_number": 1,
    }  # fmt: skip
    assert wgf.open_run(tmp_path / "run").to_xarray().sizes["parameter"] == 7


def test_without_xarray_it_says_what_to_install(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(wgf.InputError, match=r"pip install 'hpc-wgf\[analysis\]'"):
        wgf.open_run(store).to_xarray()
