"""The parts of a step on a device, tiny and on a CPU, and how their record is put together."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from hpc_wgf.bench import device
from hpc_wgf.bench.gather import gathered
from hpc_wgf.cli import app
from hpc_wgf.errors import RunError

N = 1100  # of which a thin product takes 1024
PARTS = {
    "copy": {"on the device"},
    "matrix product": {"16 x 16", "64 x 64"},
    "small matrices": {"inverse and determinant", "one LU factorisation", "ours"},
    "thin product": {"one product", "split"},
    "product with the metric": {"porous-15d"},
}
AMOUNTS = {
    "copy": 2 * 8 * 15 * N, "matrix product": 2 * 64**3, "small matrices": N,
    "thin product": 8 * 1024 * (32 + 16), "drawing": N, "product with the metric": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpc_wgf.profiling.machine._SIDE_CPU", 64)
        out = tmp_path_factory.mktemp("device") / "device.json"
        wanted = ["--samples", str(N), "--rounds", "1", "--device", "cpu", "--out", str(out)]
        done = CliRunner().invoke(app, ["bench", "device", *wanted])
        assert done.exit_code == 0, done.output
    return out


def test_every_part_of_a_step_is_measured(record):
    rows = json.loads(record.read_text())["rows"]
    for part, ways in PARTS.items():
        assert {row["way"] for row in rows if row["part"] == part} == ways
    assert "numpy" in {row["way"] for row in rows if row["part"] == "drawing"}
    for row in rows:
        assert row["amount"] == AMOUNTS.get(row["part"], row["amount"])
        assert row["a_second"] == pytest.approx(1e3 * row["amount"] / row["milliseconds"])
    (step,) = (row for row in rows if row["part"] == "step")
    assert step["amount"] >= 4  # products of two solves
    product = next(row for row in rows if row["part"] == "product with the metric")
    assert step["milliseconds"] > product["milliseconds"]


@pytest.mark.parametrize("part", ["small_matrices", "thin_products"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ways_that_differ_are_not_timed(monkeypatch, part, dtype):
    sizes = device._Sizes(N, dtype, torch.device("cpu"))
    getattr(sizes, part)()
    wrong = "inverse" if part == "small_matrices" else None
    if wrong:
        right = device.inverse
        monkeypatch.setattr(device, wrong, lambda a: (1.01 * right(a)[0], *right(a)[1:]))
    else:
        right_bmm = torch.bmm
        monkeypatch.setattr(torch, "bmm", lambda a, b: 1.01 * right_bmm(a, b))
    with pytest.raises(RunError, match=r"differs from .* by 1.0e-02 of its norm"):
        getattr(sizes, part)()


def test_one_record_holds_all_and_names_the_tests_that_failed(record, tmp_path):
    tests = tmp_path / "tests.xml"
    tests.write_text(
        '<testsuites><testsuite><testcase name="a[real]"/><testcase name="b[real]">'
        '<failure message="no"/></testcase><testcase name="c"><skipped/></testcase>'
        '<testcase name="d"><error/></testcase></testsuite></testsuites>'
    )
    (tmp_path / "product.json").write_text('{"rows": [1]}')
    found = gathered(tests, [record, tmp_path / "product.json"])
    assert found["rows"] == json.loads(record.read_text())["rows"]
    assert found["further"] == {"product": {"rows": [1]}}
    assert found["tests"] == {
        "passed": 1, "failed": 2, "skipped": 1, "failures": ["b[real]", "d"],
    }  # fmt: skip
