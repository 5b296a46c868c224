"""One small run for all tests of this folder."""

from __future__ import annotations

import pytest
from processes import solved

SETTINGS = [
    "ou-2d", "--set", "method.samples=300", "--set", "problem.until=0.2",
    "--set", "output.every=0.1", "--set", "method.step=0.05",
]  # fmt: skip


@pytest.fixture(scope="session")
def ou(tmp_path_factory):
    """The store of a run of an Ornstein–Uhlenbeck flow."""
    path = tmp_path_factory.mktemp("ou") / "ou.zarr"
    solved("run", *SETTINGS, "--out", path)
    return path


@pytest.fixture(scope="session")
def heun(tmp_path_factory):
    """The store of another run of it, by another scheme."""
    path = tmp_path_factory.mktemp("ou") / "heun.zarr"
    solved("run", *SETTINGS, "--set", "method.scheme=heun", "--out", path)
    return path
