"""Radial basis functions on several ranks: their centres are sought on every rank, in every
stage."""

from __future__ import annotations

import pytest
from processes import cli, here
from stores import assert_same

from hpc_wgf import open_run

ASK = (
    "run", "styblinski-tang-2d", "--set", 'map=[{kind="rbf", count=12}]',
    "--set", "method.samples=256", "--set", "problem.until=0.04", "--set", "output.every=0.02",
    "--set", "stages.when=[0.02]",
)  # fmt: skip


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_same_bits_on_any_number_of_ranks(ranks, tmp_path):
    alone = here(*ASK, "--out", tmp_path / "1.zarr")
    assert alone.returncode == 0, alone.stderr
    several = cli(*ASK, "--out", tmp_path / "n.zarr", ranks=ranks)
    assert several.returncode == 0, several.stderr
    one, other = open_run(tmp_path / "1.zarr"), open_run(tmp_path / "n.zarr")
    assert len(one.stages) == 2
    assert_same(one, other)
