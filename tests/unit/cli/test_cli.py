"""The command line: contracts for people and machines."""

from __future__ import annotations

import json
import os
import re
import stat

import pytest
from processes import SMALL, cli, here, solved
from typer.testing import CliRunner

from hpc_wgf.cli import app

KEYS = {
    "problem", "ranks", "samples", "parameters", "times", "map_error_relative", "energy",
    "projection_error_relative", "projection_error_fresh_relative", "products_per_solve",
    "wall_seconds",
}  # fmt: skip


def test_list_and_show():
    listed = here("list")
    assert listed.returncode == 0
    assert "styblinski-tang-30d" in listed.stdout
    shown = here("show", "ou-10d")
    assert 'name = "ou-10d"' in shown.stdout


def test_help_teaches_by_example():
    for arguments in ([], ["run"], ["resume"], ["report"], ["consolidate"]):
        done = CliRunner().invoke(app, [*arguments, "--help"])
        assert done.exit_code == 0
        assert "hpc-wgf" in done.stdout
        assert "xample" in done.stdout


def test_report_is_a_contract(tmp_path):
    solved("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    shown = here("report", tmp_path / "run", "--json")
    assert shown.returncode == 0, shown.stderr
    summary = json.loads(shown.stdout)
    assert set(summary) >= KEYS
    assert (summary["problem"], summary["ranks"], summary["samples"]) == ("ou-2d", 1, 400)
    rows = len(summary["times"])
    assert rows == 5
    for key in ("map_error_relative", "energy", "projection_error_fresh_relative"):
        assert len(summary[key]) == rows
        assert all(isinstance(value, float) for value in summary[key])
    assert summary["map_error_relative"][0] == 0.0
    assert 0 < max(summary["map_error_relative"]) < 1e-2
    assert summary["products_per_solve"] > 1


def test_report_of_the_divergence_to_the_exact_flow(tmp_path):
    solved("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    plain = json.loads(here("report", tmp_path / "run", "--json").stdout)
    assert (plain["kl_exact"], plain["kl_exact_error"], plain["kl_exact_notes"]) == (None, None, [])
    asked = ["--exact-kl", "--samples", "200", "--paths", "2", "--seed", "3"]
    shown = json.loads(here("report", tmp_path / "run", "--json", *asked).stdout)
    assert {**shown, "kl_exact": None, "kl_exact_error": None} == plain
    errors = shown["kl_exact_error"]
    assert len(shown["kl_exact"]) == len(errors) == len(shown["times"])
    assert all(-3 * e <= kl < 1e-4 for kl, e in zip(shown["kl_exact"], errors, strict=True))
    assert "KL to exact flow" in here("report", tmp_path / "run", *asked).stdout


def test_no_divergence_to_a_flow_that_is_not_reversible(tmp_path):
    solved("run", "porous-2d", "--set", "problem.until=0.11", "--set", "method.samples=400",
           "--out", tmp_path / "run")  # fmt: skip
    shown = json.loads(here("report", tmp_path / "run", "--json", "--exact-kl").stdout)
    assert shown["kl_exact"] is None
    assert shown["kl_exact_notes"] == [
        "none is given, as the energy is not of the form ∫Vρ + β∫ρ log ρ"
    ]


def test_report_for_people_and_a_picture(tmp_path):
    solved("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    done = here("report", tmp_path / "run", "--picture", tmp_path / "run.png")
    assert done.returncode == 0
    assert "map error" in done.stdout
    assert "finished" in done.stdout
    assert (tmp_path / "run.png").stat().st_size > 5000


def test_progress_is_plain_lines_in_a_log(tmp_path):
    done = cli("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    assert done.stderr.splitlines()[0] == "ou-2d on 1 rank on the CPU"
    lines = [line for line in done.stderr.splitlines() if line.startswith("step")]
    assert len(lines) >= 5
    assert "\x1b" not in done.stderr
    for word in ("energy", "products/solve", "left", "map error"):
        assert word in lines[-1]


def test_a_second_run_into_a_store_is_refused(tmp_path):
    solved("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    before = json.loads(here("report", tmp_path / "run", "--json").stdout)
    again = here("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    assert again.returncode == 2
    assert "a run is stored there" in again.stderr
    assert "hpc-wgf resume" in again.stderr
    assert json.loads(here("report", tmp_path / "run", "--json").stdout) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "ou10d"], "did you mean 'ou-10d'"),
        (["run", "ou-2d", "--set", "method.sampels=3"], "did you mean 'samples'"),
        (["run", "ou-2d", "--set", "method.samples=x"], "expected a whole number"),
        (["run", "ou-2d", "--set", "problem.energy.1.beta=-1"], "must not be negative"),
        (["run", "ou-2d", "--set", "problem.start.covariance=[[1,2],[2,1]]"], "positive definite"),
        (["run", "ou-2d", "--set", "problem.dimension=3",
          "--set", "problem.start.mean=[1,2]"], "the dimension is 3"),
        (["run", "ou-2d", "--set",
          'problem.energy.0={kind="user",function="user_objects:no_potential"}'],
         "expected one value per sample"),
        (["run", "ou-2d", "--set",
          'map=[{kind="module",factory="user_objects:Net"}]'], "not the identity"),
        (["run", "ou-2d", "--set", "method.scheme=leapfrog"], "'leapfrog': expected one of euler"),
        (["run", "ou-2d", "--set", "method.rtol=1e-16"], "below what"),
        (["run", "ou-2d", "--device", "cuda"], "device cuda"),
        (["run", "none.toml"], "cannot read the run file"),
        (["resume", "nowhere"], "no store at nowhere"),
        (["report", "nowhere"], "no store at nowhere"),
        (["run", "ou-2d", "--set", "problem.energy.²=1"], "does not number one of 2 entries"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_before_any_work(tmp_path, arguments, message):
    out = ["--out", tmp_path / "run"] if arguments[0] == "run" else []
    done = here(*arguments, *out)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_unwritable_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    done = here("run", "ou-2d", *SMALL, "--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert "cannot create the store" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: run as another user")
def test_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    done = here("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    tmp_path.chmod(stat.S_IRWXU)
    assert done.returncode == 2
    assert "cannot create the store" in done.stderr


def test_runs_from_python_objects_say_how_to_resume(tmp_path):
    import hpc_wgf as wgf

    spec = wgf.load_problem("ou-2d", "method.samples=100", "problem.until=0.05")
    wgf.solve(*spec, wgf.Output(tmp_path / "run", every=0.05))
    done = here("resume", tmp_path / "run", "--until", "0.1")
    assert done.returncode == 2
    assert "resume=True" in done.stderr


def test_list_for_machines():
    listed = json.loads(here("list", "--json").stdout)
    (ou,) = [each for each in listed if each["name"] == "ou-10d"]
    assert ou["dimension"] == 10
    assert ou["until"] > 0
    assert ou["title"]


def test_the_version_and_nothing_else():
    assert re.fullmatch(r"hpc-wgf \d+\.\d+\.\d+\S*\n", here("--version").stdout)


def test_names_and_run_files_are_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.TOML").write_text("")
    for command in ("run", "plan", "show"):
        done = CliRunner().invoke(
            app, [], prog_name="hpc-wgf",
            env={"_HPC_WGF_COMPLETE": "complete_bash", "COMP_WORDS": f"hpc-wgf {command} ou",
                 "COMP_CWORD": "2"},
        )  # fmt: skip
        offered = done.output.split()
        assert "ou-10d" in offered
        assert ("ours.TOML" in offered) == (command != "show")
        assert "rosenbrock-10d" not in offered
