"""Every key of run files is told to people and to editors, as the tables declare it."""

from __future__ import annotations

import json
import tomllib

import pytest
from json_schema import fits
from processes import here

from hpc_wgf import InputError
from hpc_wgf.config import TABLES, catalogue, load
from hpc_wgf.config.keys import described
from hpc_wgf.config.schema import json_schema

OU = tomllib.loads(catalogue.text("ou-2d"))


def keys_of(place: str) -> dict:
    (table,) = [table for table in described() if table.place == place]
    return {key.name: key for key in table.keys}


def test_every_key_of_every_table_has_a_type_and_a_description():
    for table in described():
        assert table.description, table.place
        for key in table.keys:
            assert key.type, (table.place, key.name)
            assert key.description or key.name == "kind", (table.place, key.name)


def test_keys_are_told_with_type_default_unit_and_description():
    keys = keys_of("method.pwgf")
    step = keys["step"]
    assert (step.type, step.default, step.unit) == ("number > 0", 0.05, "time")
    assert step.other_names == ("step_size",)
    assert step.description.startswith("Time step")
    assert keys["samples"].type == "whole number ≥ 1"
    assert keys["tolerance"].type == 'number > 0 | "none"'
    assert keys["solver"].type == "automatic | direct | minres | lsmr"
    assert keys["shift"].unit == "‖Ĝ‖"
    assert keys_of("map.block")["width"].required
    assert not keys_of("map.block")["scale"].required
    assert keys_of("map.perceptron")["widths"].type == "list of whole numbers ≥ 1"
    assert "path" not in keys_of("output")
    assert "base" in keys_of("top")


def test_a_place_chooses_its_tables():
    assert [table.place for table in described("output")] == ["output"]
    maps = [table.place for table in described("[map]")]
    assert maps == [place for place in TABLES if place.startswith("map.")]
    assert {"map.affine", "map.module"} < set(maps)
    with pytest.raises(InputError, match="no table 'problem.energy.entropie', did you mean"):
        described("problem.energy.entropie")


def test_the_command_line_tells_people_and_machines():
    shown = here("keys", "problem.energy.entropy")
    assert shown.returncode == 0, shown.stderr
    for word in ("beta", "Diffusion", "x²/time"):
        assert word in shown.stdout
    (table,) = json.loads(here("keys", "map.planar", "--json").stdout)
    assert table["place"] == "map.planar"
    assert table["keys"][0]["name"] == "kind"
    everything = here("keys").stdout
    assert all(place in everything for place in TABLES)
    wrong = here("keys", "methud")
    assert wrong.returncode == 2
    assert "did you mean 'method'?" in wrong.stderr
    assert json.loads(here("keys", "--json-schema").stdout) == json_schema()


@pytest.mark.parametrize("name", catalogue.names())
def test_the_schema_fits_the_named_problems(name):
    assert fits(tomllib.loads(catalogue.text(name)), json_schema())
    assert fits(load(name).model_dump(mode="json"), json_schema())


def changed(place: str, value: object) -> dict:
    """ou-2d with another value at a place."""
    file = json.loads(json.dumps(OU))
    *path, last = place.split(".")
    table = file
    for name in path:
        table = table[int(name)] if isinstance(table, list) else table.setdefault(name, {})
    table[last] = value
    return file


@pytest.mark.parametrize(
    ("place", "right", "wrong"),
    [
        ("method.samples", 1e5, 1.5),
        ("method.samples", 400, True),
        ("method.step_size", 0.1, 0),
        ("method.tolerance", "none", "some"),
        ("method.solver", "lsmr", "cg"),
        ("method.kind", "pwgf", "other"),
        ("method.rtol", 0.1, 1.0),
        ("method.sampels", None, 3),
        ("output.path", None, "run.zarr"),
        ("problem.start", {"kind": "box", "ramp": 1.0}, {"kind": "bax"}),
        ("problem.start", {"mean": [1, 2]}, {"maen": 1}),
        ("map", [{"kind": "block", "width": 3}], [{"kind": "block"}]),
        ("map", [{"kind": "affine"}], []),
        ("problem.energy", [{"kind": "interaction", "kernel": {"kind": "power-law"}}],
         [{"kind": "interaction"}]),
    ],
)  # fmt: skip
def test_the_schema_knows_right_from_wrong(place, right, wrong):
    if right is not None:
        assert fits(changed(place, right), json_schema())
    assert not fits(changed(place, wrong), json_schema())


def test_the_schema_wants_all_of_a_file_without_base():
    schema = json_schema()
    assert fits({"base": "ou-2d", "problem": {"until": 1.0}}, schema)
    assert not fits({"problem": {"until": 1.0}, "map": [{"kind": "affine"}]}, schema)
    assert fits({"problem": OU["problem"]}, schema)  # whose map is chosen
    assert not fits({"map": OU["map"]}, schema)
