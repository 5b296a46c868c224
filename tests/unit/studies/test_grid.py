"""Grids of settings and the run files of their combinations."""

from __future__ import annotations

import pytest

from hpc_wgf import InputError
from hpc_wgf.config import catalogue
from hpc_wgf.config.toml import parse_toml, written
from hpc_wgf.studies.grid import Axis, Grid

TABLES = catalogue.tables_of("ou-2d")


def grid(*axes: str, seeds: int = 1) -> Grid:
    return Grid.of(TABLES, [Axis.parsed(axis) for axis in axes], seeds)


def test_commas_inside_of_a_value_do_not_end_it():
    axis = Axis.parsed("problem.start.mean=[0, 1], 2.0, {a = \"x,y\"},'p,q'")
    assert axis.values == ("[0, 1]", "2.0", '{a = "x,y"}', "'p,q'")


def test_all_combinations_with_names_that_tell_them():
    found = grid("method.rtol=1e-3,1e-4", "map.1.width=4,8", seeds=2)
    assert [run.name for run in found.runs[:3]] == [
        "rtol=1e-3_width=4_seed=0", "rtol=1e-3_width=4_seed=1", "rtol=1e-3_width=8_seed=0",
    ]  # fmt: skip
    assert len({run.name for run in found.runs}) == len(found.runs) == 8
    last = found.runs[-1]
    assert last.settings == {"method.rtol": 1e-4, "map.1.width": 8, "method.seed": 1}
    assert (last.tables["method"]["rtol"], last.tables["map"][1]["width"]) == (1e-4, 8)


def test_seeds_count_from_that_of_the_run_file():
    tables = {**TABLES, "method": {**TABLES["method"], "seed": 7}}
    assert [run.settings["method.seed"] for run in Grid.of(tables, [], 3).runs] == [7, 8, 9]


def test_awkward_values_are_numbered_and_equal_last_parts_told_apart():
    one = grid("problem.name='a b','a-b'", "problem.start.mean=[0, 1]", "method.step_size=0.1")
    assert [run.name for run in one.runs] == ["name=1_mean=-0-1-_step=0.1",
                                              "name=2_mean=-0-1-_step=0.1"]  # fmt: skip
    long = grid(f"problem.title={'x' * 200}")
    assert long.runs[0].name == "title=1"
    same = grid("map.0.kind=affine", "map.1.kind=block")
    assert same.runs[0].name == "map.0.kind=affine_map.1.kind=block"


@pytest.mark.parametrize(
    ("axes", "seeds", "words"),
    [
        (["method.rtol"], 1, "not of the form a.b=value,value"),
        (["method.rtol=1e-3,"], 1, "not of the form"),
        (["=1"], 1, "not of the form"),
        (["method.rtol=1e-3,1e-3"], 1, "gives a value twice"),
        (["method.step=1", "method.step_size=2"], 1, "has method.step twice"),
        (["method.seed=1,2"], 2, "method.seed twice .--seeds is one"),
        (["method.rtoll=1e-3"], 1, "with method.rtoll=1e-3, .*did you mean 'rtol'"),
        (["method.rtol=1e-3,2"], 1, "with method.rtol=2, .*method.rtol = 2: expected less than 1"),
        (["map.7.width=8"], 1, "does not number one of 2 entries"),
        (["method.seed=" + ",".join(map(str, range(101))), "output.every=" + ",".join(
            str(k / 1000) for k in range(1, 101))], 1, "has 10100 runs"),
    ],
)  # fmt: skip
def test_bad_grids_get_a_line(axes, seeds, words):
    with pytest.raises(InputError, match=words) as caught:
        grid(*axes, seeds=seeds)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", catalogue.names())
def test_what_is_written_is_read_again(name):
    tables = catalogue.tables_of(name)
    assert parse_toml(written(tables), name) == tables


def test_awkward_texts_and_keys_are_read_again():
    tables = {"a b": {"x": 'say "ü"\n\t\\ 𝜕', "y": [{"z": True, "w": 1e-300}], "n": -3}, "k": "v"}
    assert parse_toml(written(tables), "x") == tables
    assert parse_toml(written({"a": {"left_out": None, "b": 1}}), "x") == {"a": {"b": 1}}
