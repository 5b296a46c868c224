"""One map in place of a chain, fitted by several processes: the same bits, one file, one error."""

from __future__ import annotations

import pytest
from processes import cli, errors, solved

KIND = {
    "spline": 'map=[{kind="spline",knots=20}]',
    "block": 'map=[{kind="affine"},{kind="block",width=4}]',
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "run.zarr"
    solved("run", "styblinski-tang-2d", "--set", 'map=[{kind="spline",knots=8}]', "--set",
           "method.samples=256", "--set", "problem.until=0.04", "--set", "output.every=0.02",
           "--set", "stages.when=[0.02]", "--out", path)  # fmt: skip
    return path


@pytest.mark.parametrize("kind", KIND)
def test_the_same_bits_on_any_number_of_ranks(store, tmp_path, kind):
    said, files = [], []
    for ranks in (1, 2, 4):
        out = tmp_path / f"{ranks}.npz"
        done = cli(
            "consolidate", store, "--time", "0.04", "--set", KIND[kind], "--samples", "3000",
            "--out", out, "--json", ranks=ranks,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
        files.append(out.read_bytes())
    assert said[0].count("\n") == 1
    assert '"misfit"' in said[0]
    assert said[0] == said[1] == said[2]
    assert files[0] == files[1] == files[2]


def test_a_file_that_is_there_stops_all_ranks_with_one_line(store, tmp_path):
    out = tmp_path / "map.npz"
    out.write_text("mine")
    done = cli("consolidate", store, "--time", "0.04", "--out", out, ranks=2)
    assert done.returncode != 0
    (line,) = errors(done)
    assert "exists already, and is not overwritten" in line
    assert out.read_text() == "mine"
