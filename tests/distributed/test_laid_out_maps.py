"""Maps on several ranks whose features are sought on every rank, in every stage: modes of the
target and clusters of the samples, and farthest points among them."""

from __future__ import annotations

import pytest
from processes import cli, here
from stores import assert_same

from hpc_wgf import open_run

ASK = (
    "run", "styblinski-tang-2d", "--set", "method.samples=256", "--set", "problem.until=0.04",
    "--set", "output.every=0.02", "--set", "stages.when=[0.02]",
)  # fmt: skip
MAPS = {
    "softmax": (
        "--set", 'map=[{kind="softmax"}]', "--set", "method.form=energy",
        "--set", "method.sampling=sobol", "--set", "method.scheme=ros2",
    ),
    "rbf": ("--set", 'map=[{kind="rbf", count=12}]'),
}  # fmt: skip


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("kind", MAPS)
def test_the_same_bits_on_any_number_of_ranks(kind, ranks, tmp_path):
    ask = (*ASK, *MAPS[kind])
    alone = here(*ask, "--out", tmp_path / "1.zarr")
    assert alone.returncode == 0, alone.stderr
    several = cli(*ask, "--out", tmp_path / "n.zarr", ranks=ranks)
    assert several.returncode == 0, several.stderr
    one, other = open_run(tmp_path / "1.zarr"), open_run(tmp_path / "n.zarr")
    assert len(one.stages) == 2
    assert_same(one, other)
