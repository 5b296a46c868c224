"""A small run of a porous medium, whose support has an edge."""

from __future__ import annotations

import pytest
from processes import solved

import hpc_wgf as wgf


@pytest.fixture(scope="session")
def porous(tmp_path_factory):
    path = tmp_path_factory.mktemp("porous") / "porous.zarr"
    solved(
        "run", "porous-2d", "--set", "method.samples=400", "--set", "problem.until=0.2",
        "--set", "output.every=0.05", "--set", "output.bound=false", "--out", path,
    )  # fmt: skip
    return wgf.open_run(path)
