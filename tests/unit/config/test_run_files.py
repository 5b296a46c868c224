"""Where run files come from: names, paths, standard input, and bases of one's own."""

from __future__ import annotations

import io
import sys

import pytest
from processes import SMALL, here

from hpc_wgf import InputError
from hpc_wgf.config import load

MINE = 'base = "ou-2d"\n[problem]\nname = "mine"\nuntil = 0.3\n'


@pytest.mark.parametrize("name", ["mine.toml", "mine.TOML", "mine.Toml", "mine", "my.run"])
def test_a_run_file_may_have_any_name(tmp_path, name):
    file = tmp_path / name
    file.write_text(MINE)
    assert load(str(file)).problem.until == 0.3


def test_a_named_problem_goes_before_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ou-2d").write_text(MINE)
    assert load("ou-2d").problem.name == "ou-2d"
    assert load("./ou-2d").problem.name == "mine"


def test_standard_input_is_a_run_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MINE)
    monkeypatch.setattr(sys, "stdin", io.StringIO('base = "mine.toml"\n[method]\nsamples = 1e3\n'))
    run_file = load("-", ["output.every=0.1"])
    assert (run_file.problem.name, run_file.method.samples) == ("mine", 1000)
    assert run_file.output.every == 0.1
    with pytest.raises(InputError, match="standard input is not valid TOML"):
        load("-", read_input=lambda: "problem = [")
    monkeypatch.setattr(sys, "stdin", io.StringIO(MINE))
    done = here("run", "-", *SMALL, "--set", "problem.until=0.05", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run").exists()


def test_a_base_of_ones_own_is_seen_from_the_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "group.toml").write_text(MINE + "[method]\nstep = 0.02\ntolerance = 1e-3\n")
    file = tmp_path / "deep" / "one.toml"
    file.write_text('base = "../group.toml"\n[method]\nstep_size = 0.01\ntolerance = "none"\n')
    monkeypatch.chdir("/")
    run_file = load(str(file))
    assert (run_file.problem.name, run_file.problem.until) == ("mine", 0.3)
    assert (run_file.method.step_size, run_file.method.tolerance) == (0.01, None)
    for name in ("step", "step_size"):
        assert load(str(file), [f"method.{name}=0.5"]).method.step_size == 0.5


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ('"a.toml"', "a run file cannot be its own base: .*a.toml → .*b.toml → .*a.toml"),
        ('"b.toml"', "a run file cannot be its own base: .*b.toml → .*b.toml"),
        ('"none.toml"', "cannot read the run file .*none.toml"),
        ('"ou2d"', "no problem named 'ou2d', did you mean 'ou-2d'"),
        ("3", "base = 3: expected the name of a problem or the path of a file"),
        (f'"{"long" * 100}"', "no problem named 'longlong"),
        (r'"a\u0000b"', "has control characters in it"),
        (r'"a\u0000b.toml"', "has control characters in it"),
    ],
)
def test_wrong_bases_are_one_line(tmp_path, base, message):
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    (tmp_path / "b.toml").write_text(f"base = {base}\n")
    with pytest.raises(InputError, match=message) as caught:
        load(str(tmp_path / "a.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["1e30", "-1e30", "9223372036854775808"])
def test_whole_numbers_beyond_64_bits_are_refused(value):
    """They overflowed in torch, in the middle of the set-up."""
    for key in ("method.samples", "method.seed", "output.particles"):
        with pytest.raises(InputError, match=r"expected a whole number below 2\^63") as caught:
            load("ou-2d", [f"{key}={value}"])
        assert "\n" not in str(caught.value)


def test_one_key_under_two_names_is_refused():
    with pytest.raises(InputError, match="step and step_size are names of the same key"):
        load("ou-2d", ["method={step = 0.1, step_size = 0.2}"])


def test_another_method_by_a_setting_leaves_behind_what_is_of_the_first():
    """In whatever order; what all methods mean alike stays."""
    first = load("porous-5d").method
    settings = ["method.scheme=euler", "method.kind=implicit", "method.samples=77"]
    method = load("porous-5d", settings).method
    assert (method.kind, method.scheme, method.samples, method.rtol) == (
        "implicit", "euler", 77, None,
    )  # fmt: skip
    assert method.step_size == first.step_size
    assert load("porous-5d", ["method.kind=pwgf"]).method == first
