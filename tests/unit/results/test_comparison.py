"""Runs beside each other, in a table and on a page."""

from __future__ import annotations

import json
import re

import pytest
from processes import here, solved

import hpc_wgf as wgf


def test_runs_and_records_are_compared(ou, heun, tmp_path):
    record = tmp_path / "record.json"
    record.write_text(wgf.Summary.of_store(wgf.open_run(ou)).to_json())
    done = here("compare", ou, heun, record, "--json", "--samples", "500")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["settings"] == {"method.scheme": ["kutta32", "heun", None]}
    assert found["figures"]["parameters"] == [86, 86, 86]
    errors = found["figures"]["map error / displacement"]
    assert errors[0] == errors[2] < errors[1]
    assert found["times"] == [0.0, 0.1, 0.2]
    (distances,) = found["distance"].values()
    runs = [wgf.open_run(path) for path in (ou, heun)]
    expected = [runs[0].map_distance(runs[1], t, samples=500).value for t in found["times"]]
    assert distances == expected
    assert distances[0] == 0.0 < distances[1]
    assert found["notes"] == [f"{record} is a record without maps"]
    said = here("compare", ou, heun).stdout
    assert re.search(r"method.scheme +kutta32 +heun", said)
    assert "at least W2" in said


def test_a_page_holds_all_it_shows(ou, heun, tmp_path):
    out = tmp_path / "page.html"
    done = here("report", ou, heun, "--html", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert '<meta name="viewport" content="width=device-width' in text
    assert "--runs:2" in text
    assert text.count("<section>") == 2
    # Nothing is fetched from anywhere.
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|<script|<link""", text)
    for words in (
        "Compared", "method.scheme", "heun", "map distance from ou.zarr, largest",
        "computed (blue) and exact (dashed)", "Marginals", "Error, estimate and bound",
        "Energy and its law", "time per part", "method.samples = 300", "torch", "its bound",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("data:image/png;base64,") >= 2 * 10


def test_a_page_of_a_run_whose_maps_are_not_known_has_the_rest(tmp_path):
    problem = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.1, name="<b>&")
    method = wgf.PWGFOptions(samples=50, step_size=0.1)
    wgf.solve(problem, wgf.Affine(2), method, wgf.Output(tmp_path / "run", every=0.1))
    done = here("report", tmp_path / "run", "--html", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "no densities are drawn: " in text
    assert "<b>&</" not in text
    assert "&lt;b&gt;&amp;" in text
    card = wgf.open_run(tmp_path / "run")._repr_html_()
    assert "<b>&lt;b&gt;&amp;</b>" in card
    done = here("picture", tmp_path / "run", "--out", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"warning: neither densities .* from Python objects.*\n", done.stderr)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compare {ou}", "takes two runs or more"),
        ("compare {ou} nix", "no store at nix"),
        ("compare {ou} bad.json", "neither a store nor a record"),
        ("compare {ou} other.json", "no record that `hpc-wgf report --json` printed"),
        ("report {ou} {ou}", "that is for --html alone"),
        ("report {ou} {ou} --html a.html --json", "that is for --html alone"),
        ("report {ou} --html a.txt", "ends in .html"),
        ("report {ou} --html no/a.html", "there is no folder no"),
        ("picture {ou}", "--out FILE or --movie FILE"),
        ("picture {ou} --out a.png --axes 1,3", "numbers from 1 to 2"),
        ("picture {ou} --out a.png --axes x", "axes are 'x'"),
        ("picture {ou} --out a.png --times x", "times are 'x'"),
        ("picture {ou} --out a.png --times 3", "t = 3 is outside of"),
        ("picture {ou} --out a.png --kind x", "no picture of kind 'x'"),
        ("picture nix --out a.png", "no store at nix"),
        ("sample nix -n 3 --out a.npz", "no store at nix"),
    ],
)
def test_wrong_lines_are_refused(ou, tmp_path, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("[")
    (tmp_path / "other.json").write_text("{}")
    done = here(*line.format(ou=ou).split())
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"bad.json", "other.json"}


def test_code_of_a_user_is_not_called_unasked(tmp_path):
    """Neither for samples nor for pictures; with --trust it is."""
    store = tmp_path / "run"
    potential = 'problem.energy.0={kind="user",function="user_objects:harmonic"}'
    solved("run", "ou-2d", "--set", potential, "--set", "method.samples=50", "--set",
           "problem.until=0.1", "--out", store)  # fmt: skip
    done = here("sample", store, "-n", "5", "--out", tmp_path / "a.npz")
    assert done.returncode == 2
    assert "user_objects:harmonic" in done.stderr
    assert "--trust" in done.stderr
    assert done.stderr.count("\n") == 1
    done = here("sample", store, "-n", "5", "--out", tmp_path / "a.npz", "--trust")
    assert done.returncode == 0, done.stderr
