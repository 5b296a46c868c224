"""Softmax gates on several ranks: modes sought on every rank, gates laid out in every stage."""

from __future__ import annotations

import pytest
from processes import cli, here
from stores import assert_same

from hpc_wgf import open_run

ASK = (
    "run", "styblinski-tang-2d", "--set", 'map=[{kind="softmax"}]', "--set", "method.samples=256",
    "--set", "method.form=energy", "--set", "method.sampling=sobol", "--set", "method.scheme=ros2",
    "--set", "problem.until=0.04", "--set", "output.every=0.02", "--set", "stages.when=[0.02]",
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
