"""The account of a whole run: rows of parts, and what they say of several ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hpc_wgf.accounts import Part
from hpc_wgf.bench import run_account, run_on_ranks
from hpc_wgf.cli import app
from hpc_wgf.errors import InputError
from hpc_wgf.guide.records import bench_command
from hpc_wgf.profiling.machine import square_products

SETTINGS = ["method.samples=256", "problem.until=0.05", "method.step=0.05", "output.every=0.05",
            'map=[{kind="affine"}, {kind="block", width=4}]']  # fmt: skip


@pytest.fixture
def solved(monkeypatch, capsys, tmp_path):
    """A run in this process in place of launched ones, of which `ranks` tell the same."""
    monkeypatch.setattr("hpc_wgf.profiling.machine._SIDE_CPU", 64)
    monkeypatch.setattr("hpc_wgf.profiling.machine._STREAM", 1000)
    run_on_ranks.main("ou-2d", SETTINGS, "cpu", tmp_path, counted=True)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    asked = []

    def launched(program, ranks, arguments, *, patience):
        name, settings, device, folder, counted = arguments
        asked.append((ranks, name, json.loads(settings), device, counted))
        assert program == "run_on_ranks"
        assert Path(folder).is_dir()
        return {**found, "ranks": found["ranks"] * ranks}

    monkeypatch.setattr(run_account, "launched", launched)
    return asked


def test_rows_account_for_the_whole_run_on_one_rank_and_on_several(solved):
    rows = run_account.rows("ou-2d", 2, SETTINGS, 2, "cpu", counted=True)
    assert solved == [(ranks, "ou-2d", SETTINGS, "cpu", counted)
                      for ranks, counted in [(1, "1"), (2, "0"), (1, "0"), (2, "0")]]  # fmt: skip
    by_part = {row["part"]: row for row in rows}
    whole = by_part.pop(run_account.WHOLE)
    program, loop = by_part.pop(run_account.PROGRAM), by_part.pop(run_account.LOOP)
    assert set(by_part) <= set(Part)
    assert sum(row["seconds"] for row in by_part.values()) == pytest.approx(whole["seconds"])
    assert sum(row["gigaflops"] for row in by_part.values()) <= whole["gigaflops"] * (1 + 1e-12)
    assert loop["seconds"] < whole["seconds"]
    assert program["gigaflops"] is None
    # Two ranks that tell the same as one repeat everything, and gain nothing.
    for row in rows:
        assert row["repeated"] in (None, pytest.approx(2.0))
        assert row["speed_up"] in (None, pytest.approx(1.0))
        assert row["serial_share"] in (None, pytest.approx(1.0))
    assert whole["over_products"] == whole["over_products_cpu"] == pytest.approx(1.0)


def test_flops_of_products_are_those_of_the_map(solved):
    """12 h d a sample of the block, see `block_flops`, and 4 d² of the affine part at least."""
    rows = run_account.rows("ou-2d", 1, SETTINGS, 1, "cpu", counted=True)
    products = next(row for row in rows if row["part"] == Part.PRODUCTS)
    assert "speed_up" not in products
    assert products["gigaflops"] > 256 * 12 * 4 * 2 / 1e9
    assert products["of_matmul_rate"] > 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rates_of_products_are_those_of_the_precision_of_the_run(
    monkeypatch, capsys, tmp_path, dtype
):
    asked = []

    def products(precision, device):
        asked.append(precision)
        return square_products(precision, device)

    monkeypatch.setattr("hpc_wgf.profiling.machine._SIDE_CPU", 64)
    monkeypatch.setattr("hpc_wgf.profiling.machine._STREAM", 1000)
    monkeypatch.setattr(run_on_ranks, "square_products", products)
    settings = [*SETTINGS, f"method.dtype={dtype}"]
    run_on_ranks.main("ou-2d", settings, "cpu", tmp_path, counted=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rates"][0] > 0
    assert asked == [getattr(torch, dtype)]


def test_what_cannot_be_launched_is_refused_before(monkeypatch):
    with pytest.raises(InputError, match="nowhere"):
        run_account.rows("nowhere", 2, [], 1, "cpu", counted=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(InputError, match="start it as one process"):
        run_account.rows("ou-2d", 2, [], 1, "cpu", counted=False)


def test_a_record_tells_its_own_command(solved, tmp_path):
    """As the pages print it: the ranks are an option, and the benchmark itself is one process."""
    kept, settings = tmp_path / "run.json", [f"--set={each}" for each in SETTINGS]
    arguments = ["bench", "run", "ou-2d", "--ranks", "2", "--no-count", *settings]
    done = CliRunner().invoke(app, [*arguments, "--json", "--out", str(kept)])
    assert done.exit_code == 0, done.output
    assert [ranks for ranks, *_ in solved] == [1, 2]
    record = json.loads(kept.read_text())
    assert record["rows"] == json.loads(done.stdout)
    command = bench_command(record)
    assert command.startswith("hpc-wgf bench run ou-2d --ranks 2 --set method.samples=256")
    assert command.endswith("--rounds 1 --device cpu --no-count")
