"""One map in place of a chain, fitted by several processes: the same bits, one file, one error."""

from __future__ import annotations

import json

import pytest
from processes import cli, errors, here, solved

KIND = 'map=[{kind="affine"},{kind="spline",knots=20},{kind="block",width=4}]'


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "run.zarr"
    solved("run", "styblinski-tang-2d", "--set", 'map=[{kind="spline",knots=8}]', "--set",
           "method.samples=256", "--set", "problem.until=0.04", "--set", "output.every=0.02",
           "--set", "stages.when=[0.02]", "--out", path)  # fmt: skip
    return path


def test_the_same_bits_on_one_rank_and_on_two(store, tmp_path):
    """What is said, and the whole file; layers of every kind, in several chunks."""
    ask = ["consolidate", store, "--time", "0.04", "--set", KIND, "--samples", "3000", "--json"]
    alone = here(*ask, "--out", tmp_path / "1.npz")
    assert alone.returncode == 0, alone.stderr
    two = cli(*ask, "--out", tmp_path / "2.npz", ranks=2)
    assert two.returncode == 0, two.stderr
    assert json.loads(two.stdout)["misfit"] > 0
    assert two.stdout == alone.stdout
    assert (tmp_path / "2.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()


def test_a_file_that_is_there_stops_all_ranks_with_one_line(store, tmp_path):
    out = tmp_path / "map.npz"
    out.write_text("mine")
    done = cli("consolidate", store, "--time", "0.04", "--out", out, ranks=2)
    assert done.returncode != 0
    (line,) = errors(done)
    assert "exists already, and is not overwritten" in line
    assert out.read_text() == "mine"
