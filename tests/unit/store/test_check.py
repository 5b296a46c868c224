"""A damaged store is found out, and says where; its other rows can still be read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from damage import rewrite
from staged import solve as solve_in_stages
from stores import commit, small_store
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf.cli import app
from hpc_wgf.pictures import draw
from hpc_wgf.store import Stage, check


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "run"
    torch.set_default_dtype(torch.float64)  # as in a test; a fixture of a module comes before it
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
    [
        ("particles", "c/2/0/0"), ("log_density", "c/2/0"), ("theta", "c/2/0"),
        ("velocity", "c/2/0"),
    ],
)  # fmt: skip
def test_a_changed_byte_is_found_and_spoils_no_other_row(store, whole, array, file, place):
    flip(store / array / file, place)
    assert flaws(store) == [(array, 2)]
    found, sound = wgf.open_run(store), wgf.open_run(whole)
    for row in (0, 1, 3):
        assert np.array_equal(found.group[array][row], sound.group[array][row])


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("array", "file"),
    [
        ("time", "c/0"), ("figures", "c/0/0"), ("step_figures", "c/0/0"), ("sample", "c/0"),
        ("axis", "c/0"),
    ],
)  # fmt: skip
def test_a_changed_byte_of_what_all_rows_share_is_found(store, array, file, place):
    flip(store / array / file, place)
    assert flaws(store) == [(array, None)]


@pytest.mark.parametrize(
    ("array", "file", "row"),
    [
        ("particles", "c/1/0/0", 1), ("log_density", "c/1/0", 1), ("theta", "c/3/0", 3),
        ("velocity", "c/0/0", 0), ("time", "c/0", None), ("figures", "c/0/0", None),
        ("step_figures", "c/0/0", None), ("stage_theta", "c/0/0", 0), ("sample", "c/0", None),
    ],
)  # fmt: skip
def test_what_is_missing_is_found(store, array, file, row):
    (store / array / file).unlink()
    assert flaws(store) == [(array, row)]


def test_a_method_without_velocities_has_no_flaw(store):
    shutil.rmtree(store / "velocity" / "c")
    assert flaws(store) == []


def changed(store: Path, change: Callable[[dict, dict], None]) -> list[str]:
    """The flaws of the store after `change` of its attributes and of its arrays' documents, with
    digests that fit: they alone would tell."""
    rewrite(store, change)
    return [str(flaw) for flaw in check(wgf.open_run(store))]


def test_arrays_of_unequal_length_are_found(store):
    with pytest.raises(wgf.InputError, match="^damaged: .*figures has 3 entries along time, 4"):
        changed(store, lambda _, arrays: arrays["figures"].update(shape=[3, 16]))


@pytest.mark.parametrize("array", ["time", "figures", "step_figures", "velocity", "axis"])
def test_an_array_that_is_not_there_is_found(store, array):
    with pytest.raises(wgf.InputError, match=f"^damaged: .* the array {array} is missing"):
        changed(store, lambda _, arrays: arrays.pop(array))


def test_columns_without_names_are_found(store):
    def unnamed(_: dict, arrays: dict) -> None:
        columns = json.loads(arrays["figures"]["attributes"]["columns"])
        arrays["figures"]["attributes"]["columns"] = json.dumps(columns[1:])

    found = changed(store, unnamed)
    assert any(re.fullmatch(r"figures: (\d+) columns, \d+ of them named", flaw) for flaw in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda attributes, _: attributes.update(until=7.0), "its attributes are not those"),
        (lambda _, arrays: arrays["particles"].update(fill_value=0.0), "its arrays' metadata"),
        (
            lambda _, arrays: arrays["figures"]["attributes"].update(columns="[]"),
            "its arrays' metadata",
        ),
    ],
)
def test_metadata_that_were_changed_are_found(store, change, said):
    rewrite(store, change, seal=False)
    with pytest.raises(wgf.InputError, match=f"^damaged: .*{said}.* the digest differs"):
        wgf.open_run(store)


def test_a_missing_stage_is_found_and_not_resumed(store, tmp_path):
    """A store of two stages, the second of which is no longer described."""
    path = tmp_path / "two"
    writer = small_store(path)
    commit(writer, 0.0, 0, stage=Stage("second", 0.0, np.zeros(5)))
    commit(writer, 1.0, 0, number=1)
    writer.close()
    assert flaws(path) == []

    def lose(attributes: dict, arrays: dict) -> None:
        first = json.dumps(json.loads(attributes["stages"])[:1])
        attributes["stages"] = first

    assert changed(path, lose) == ["stages: 1 are described, parameters of 2 are stored"]
    with pytest.raises(wgf.InputError, match="1 stages are described, parameters of 2"):
        _ = wgf.open_run(path).stages

    def lose_parameters_too(_: dict, arrays: dict) -> None:
        arrays["stage_theta"]["shape"][0] = 1

    assert changed(path, lose_parameters_too) == ["stages, row 1: it is of stage 1, 1 are stored"]
    with pytest.raises(wgf.InputError, match="rows of 2 stages, but 1 are stored"):
        _ = wgf.open_run(path).stages


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "staged"
    torch.set_default_dtype(torch.float64)
    solve_in_stages(path, 0.2)
    return path


def test_a_store_of_several_stages_has_no_flaw(staged, tmp_path):
    assert check(wgf.open_run(staged)) == []
    solve_in_stages(tmp_path / "ends where a stage begins", 0.15)
    assert flaws(tmp_path / "ends where a stage begins") == []


@pytest.mark.parametrize(
    ("number", "row", "said"),
    [(0, 2, "begins at row 0, not 2"), (1, 2, "at row 1, not 2"), (2, 4, "at row 3, not 4")],
)
def test_a_stage_that_begins_elsewhere_is_found(staged, tmp_path, number, row, said):
    path = Path(shutil.copytree(staged, tmp_path / "run"))

    def shift(attributes: dict, _: dict) -> None:
        entries = json.loads(attributes["stages"])
        entries[number]["row"] = row
        attributes["stages"] = json.dumps(entries)

    (flaw,) = changed(path, shift)
    assert flaw.startswith(f"stages: stage {number} ")
    assert flaw.endswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda attributes, _: attributes.update(until=7.0), "the digest differs"),
        (lambda _, arrays: arrays.pop("velocity"), "the array velocity is missing"),
    ],
)
def test_a_changed_store_is_not_resumed(store, change, said):
    """A new digest over what was changed would hide it for good."""
    rewrite(store, change, seal="digest" not in said)
    before = (store / "zarr.json").read_text()
    spec = wgf.load_problem("ou-2d", "problem.until=0.4", "method.samples=200", "method.step=0.1")
    with pytest.raises(wgf.InputError, match=f"^damaged: .*{said}"):
        wgf.solve(*spec, wgf.Output(store), resume=True)
    assert (store / "zarr.json").read_text() == before


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("figures/c", "4 of 4 numbers are missing"),
        ("theta/c/3", "theta, row 3: .* numbers are missing or not finite"),
        ("theta/c/0", "theta, row 0: .* numbers are missing or not finite"),
        ("particles/c/3", "particles, row 3: .* numbers are missing or not finite"),
        ("theta", "theta, row 0: .* numbers are missing or not finite"),
    ],
)
def test_a_run_does_not_go_on_from_what_is_missing(store, lost, said):
    shutil.rmtree(store / lost)
    spec = wgf.load_problem("ou-2d", "problem.until=0.4", "method.samples=200", "method.step=0.1")
    with pytest.raises(wgf.InputError, match=said) as caught:
        wgf.solve(*spec, wgf.Output(store), resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["4", [4], None, 5])
def test_an_unknown_schema_is_refused(store, version):
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["schema_version"] = version
    (store / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(wgf.InputError, match="schema|not one written by"):
        wgf.open_run(store)


@pytest.mark.parametrize("stages", [None, "3", '[{"map": 1}]', "[4]"])
def test_stages_that_cannot_be_read_are_found_and_refused_in_one_line(store, stages):
    def spoil(attributes: dict, _: dict) -> None:
        if stages is None:
            del attributes["stages"]
        else:
            attributes["stages"] = stages

    assert changed(store, spoil) == ["stages: they cannot be read"]
    with pytest.raises(
        wgf.InputError, match="attribute stages (cannot be read|is missing)"
    ) as caught:
        _ = wgf.open_run(store).stages
    assert "\n" not in str(caught.value)


def test_a_stage_that_begins_beyond_the_rows_is_refused(store):
    def shift(attributes: dict, _: dict) -> None:
        entries = json.loads(attributes["stages"])
        entries[0]["row"] = 99
        attributes["stages"] = json.dumps(entries)

    changed(store, shift)
    with pytest.raises(wgf.InputError, match="stage 0 begins at row 99 of 4"):
        _ = wgf.open_run(store).stages


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("energy", np.nan, "energy: 1 of 4 numbers are missing"),
        ("map_error", np.nan, None),
        ("steps_taken", 2.0, "steps_taken: says 2 steps, 3 are stored"),
        ("folded", 5.0, "log_density, row 3: 0 are missing, 5 samples have folded"),
    ],
)
def test_figures_that_do_not_fit_are_found(store, key, value, said):
    group = zarr.open_group(store, mode="r+")
    names = [column.key for column in wgf.open_run(store).columns]
    group["figures"][3, names.index(key)] = value
    assert [str(flaw) for flaw in check(wgf.open_run(store))] == ([said] if said else [])


def test_times_that_go_back_are_found(store):
    group = zarr.open_group(store, mode="r+")
    group["time"][2] = 0.1
    assert flaws(store) == [("time", None)]


def test_particles_at_fewer_times_are_read_and_checked(store):
    """As a later writer may store them; today's has them at all times."""
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    old = {name: group[name][:][[0, 3]] for name in ("particles", "log_density")}
    for name, values in {**old, "particle_time": np.array([0.0, 0.3])}.items():
        others = ("sample", "axis")[: values.ndim - 1]
        group.create_array(
            name, data=values, overwrite=True, dimension_names=("particle_time", *others)
        )
    group.create_array("log_weight", data=np.zeros(200), dimension_names=("sample",))
    group.create_array("stage_seconds", data=np.zeros(1), dimension_names=("stage",))
    with pytest.warns(UserWarning, match="Consolidated metadata"):
        zarr.consolidate_metadata(str(store))
    rewrite(store, lambda attributes, arrays: None)
    run = wgf.open_run(store)
    assert run.particle_times.tolist() == [0.0, 0.3]
    assert np.array_equal(run.last("particles"), old["particles"][1])
    assert check(run) == []
    assert run.to_xarray().particles.dims == ("particle_time", "sample", "axis")
    draw(run, store.parent / "run.png")
    group["log_density"][1, 0] = np.nan
    assert flaws(store) == [("log_density", 1)]
    group["particle_time"][1] = 0.25
    assert ("particle_time", None) in flaws(store)


def test_the_command_lists_the_flaws_and_fails(store):
    (store / "particles" / "c/1/0/0").unlink()
    done = CliRunner().invoke(app, ["check", str(store)])
    assert isinstance(done.exception, wgf.errors.RunError)
    assert "particles, row 1: " in done.output
    assert "1 flaws" in str(done.exception)
