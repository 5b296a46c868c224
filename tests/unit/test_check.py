"""A damaged store is found out, and says where; its other rows can still be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf.cli import app
from hpc_wgf.store import check


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "run"
    spec = wgf.load_problem("ou-2d", "problem.until=0.3", "method.samples=200", "method.step=0.1")
    wgf.solve(*spec, wgf.Output(path, every=0.1))
    return path


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def flip(file: Path, place: float) -> None:
    """Change one byte, `place` of the way through the file."""
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 0x55
    file.write_bytes(data)


def flaws(store: Path) -> list[tuple[str, int | None]]:
    return [(flaw.array, flaw.row) for flaw in check(wgf.open_run(store))]


def test_a_whole_store_has_no_flaw(whole):
    assert check(wgf.open_run(whole)) == []
    done = CliRunner().invoke(app, ["check", str(whole)])
    assert done.exit_code == 0
    assert "4 rows and 3 steps, all whole" in done.output


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    ("array", "file"),
    [("particles", "c/2/3/0"), ("log_density", "c/2/3"), ("theta", "c/2/0")],
)
def test_a_changed_byte_is_found_and_spoils_no_other_row(store, whole, array, file, place):
    flip(store / array / file, place)
    assert flaws(store) == [(array, 2)]
    found, sound = wgf.open_run(store), wgf.open_run(whole)
    for row in (0, 1, 3):
        assert np.array_equal(found.group[array][row], sound.group[array][row])


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("array", ["time", "energy", "step_products", "folded"])
def test_a_changed_byte_of_a_scalar_is_found(store, array, place):
    flip(store / array / "c" / "0", place)
    assert flaws(store) == [(array, None)]


@pytest.mark.parametrize(
    ("array", "file", "row"),
    [
        ("particles", "c/1/0/0", 1), ("log_density", "c/1/0", 1), ("theta", "c/3/0", 3),
        ("time", "c/0", None), ("step_solves", "c/0", None), ("step_energy", "c/0", None),
    ],
)  # fmt: skip
def test_what_is_missing_is_found(store, array, file, row):
    (store / array / file).unlink()
    assert (array, row) in flaws(store)


def test_arrays_of_unequal_length_are_found(store):
    metadata = json.loads((store / "zarr.json").read_text())
    metadata["consolidated_metadata"]["metadata"]["energy"]["shape"] = [3]
    (store / "zarr.json").write_text(json.dumps(metadata))
    assert [str(flaw) for flaw in check(wgf.open_run(store))] == ["energy: 3 entries, 4 expected"]


def test_the_command_lists_the_flaws_and_fails(store):
    (store / "particles" / "c/1/0/0").unlink()
    done = CliRunner().invoke(app, ["check", str(store)])
    assert isinstance(done.exception, wgf.errors.RunError)
    assert "particles, row 1: " in done.output
    assert "1 flaws" in str(done.exception)
