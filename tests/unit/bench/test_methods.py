"""Methods at the same error: rows, what is turned, what is refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hpc_wgf.bench.methods import WAYS, rows
from hpc_wgf.cli import app
from hpc_wgf.config import load_problem
from hpc_wgf.errors import InputError
from hpc_wgf.output import Output
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.solution import solve

CONTRACT = {"problem", "method", "error", "seconds", "samples", "parameters"}
SMALL = [
    "--set", 'map=[{kind="affine"}]', "--set", "method.samples=200", "--set", "problem.until=0.5",
    "--set", "output.every=0.25",
]  # fmt: skip


def methods(*arguments: object) -> dict[str, dict]:
    done = CliRunner().invoke(app, ["bench", "methods", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return {row["method"]: row for row in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    picture = tmp_path_factory.mktemp("methods") / "methods.png"
    asked = ("--error", 0.08, "--picture", picture, *SMALL)
    chosen = [word for name in ("pwgf", "implicit", "jko") for word in ("--method", name)]
    return methods("ou-2d-aniso", *chosen, *asked), picture


def test_rows_of_all_methods(found):
    shown, picture = found
    assert picture.read_bytes().startswith(b"\x89PNG")
    for row in shown.values():
        assert set(row) >= CONTRACT
        assert (row["samples"], row["parameters"], row["figure"]) == (200, 6, "map")
        assert row["reached"]
        assert 0 < row["error"] <= 0.08


def test_the_knob_is_turned_until_the_error_is_reached(found):
    """The error of JKO steps is nearly of first order here, and each try is with half the step."""
    tried = found[0]["jko"]["tried"]
    errors = [error for _, error, _ in tried]
    assert len(tried) == 2
    assert errors[0] > 0.08
    assert 1.4 < errors[0] / errors[1] < 2.2
    assert found[0]["jko"]["step"] == tried[-1][0]


def test_the_error_is_that_of_the_run_as_a_user_starts_it(found):
    step = found[0]["jko"]["step"] * 0.5  # of the run
    settings = SMALL[1::2]
    spec = load_problem(
        "ou-2d-aniso", *settings, "method={kind='implicit', scheme='euler', samples=200, "
        f"step={step}}}",
    )  # fmt: skip
    summary = solve(*spec, Output(every=0.25, bound=False)).summary
    assert found[0]["jko"]["error"] == max(summary.map_error_relative)


def test_what_a_method_refuses_is_told_in_its_row():
    row = methods(
        "kalman-gauss", "--method", "implicit", "--set", "problem.mobility.inner_product=plain"
    )["implicit"]
    assert not row["reached"]
    assert row["error"] is None
    assert "inner product" in row["note"]


def test_a_method_is_given_up_after_its_seconds():
    row = methods("ou-2d-aniso", "--method", "jko", "--error", 1e-6, "--patience", 0, *SMALL)["jko"]
    assert len(row["tried"]) == 1
    assert not row["reached"]


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match=f"no method 'adam'.*{', '.join(WAYS)}"):
        rows(["ou-2d"], ["adam"], [], None, 1.0, LocalCommunicator())
