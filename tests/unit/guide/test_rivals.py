"""The page about alternatives: what it says is so in the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc_wgf.bench.rivals import PROBLEMS, RIVALS
from hpc_wgf.guide import rivals

DATA = Path(__file__).parents[3] / "data"
ROWS = rivals.rows_of(DATA)


def seconds(problem: str, way: str) -> float:
    """Of a rival to this solver's error."""
    found = ROWS[problem][way]["seconds_as_good"]
    assert found is not None, f"{way} does not get there on {problem}"
    return found


def ours(problem: str) -> dict:
    return ROWS[problem][rivals.OURS]


def test_the_record_is_of_all_problems_and_ways():
    assert tuple(ROWS) == PROBLEMS
    for ways in ROWS.values():
        assert list(ways) == [rivals.OURS, *RIVALS]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_has_no_figures_says_why(problem):
    for row in ROWS[problem].values():
        assert (row["error"] is None) == (row["seconds"] is None)
        assert row["error"] is not None or row["note"]


def test_no_map_beats_lines_on_separable_potentials():
    separable = [name for name, ways in ROWS.items() if ways["lines"]["error"] is not None]
    assert {"styblinski-tang-2d", "styblinski-tang-30d"} <= set(separable)
    for name in separable:
        assert seconds(name, "lines") < ours(name)["seconds"], name


@pytest.mark.parametrize("problem", ["gmm-two-moons", "aggregation-diffusion-2d"])
def test_grids_are_sooner_in_the_plane(problem):
    assert seconds(problem, "grid") < ours(problem)["seconds"]
    assert ROWS[problem]["grid"]["error"] < ours(problem)["error"]


def test_where_grids_are_not_sooner_in_the_plane_is_said():
    """Where no level of the grid gets to this solver's error."""
    behind = {
        name
        for name, ways in ROWS.items()
        if ways["grid"]["error"] is not None and ways["grid"]["seconds_as_good"] is None
    }
    assert behind == {"ou-2d-aniso", "porous-2d", "aggregation-2d"}
    said = rivals.findings(DATA)
    error = f"{ROWS['porous-2d']['grid']['error']:.1e}".replace("e-0", "e-")
    assert f"On `porous-2d` the grid ends at {error}" in said
    assert "on `ou-2d-aniso` at" in said


def test_the_grid_of_pure_aggregation_was_measured_at_one_level():
    """As the page says; another record of more levels would say it otherwise."""
    row = ROWS["aggregation-2d"]["grid"]
    assert len(row["tried"]) == 1
    assert f"of one level of {row['cells']} cells alone" in rivals.findings(DATA)


def test_particles_are_sooner_on_pure_aggregation():
    assert seconds("aggregation-2d", "particles") < ours("aggregation-2d")["seconds"]


def test_a_sampler_is_sooner_at_rest_and_wrong_before():
    rest = "gmm-two-moons:problem.until=3"
    assert seconds(rest, "metropolis") < ours(rest)["seconds"]
    moving = "gmm-two-moons"
    assert ROWS[moving]["metropolis"]["error"] > 3 * ours(moving)["error"]


def test_findings_are_made_of_the_record():
    said = rivals.findings(DATA)
    row = ours("ou-10d")
    assert f"{row['error']:.1e}".replace("e-0", "e-") in said
    assert "None" not in said
    table = rivals.rivals_table(DATA)
    answered = sum(row["error"] is not None for ways in ROWS.values() for row in ways.values())
    assert len(table.splitlines()) == answered + 2
