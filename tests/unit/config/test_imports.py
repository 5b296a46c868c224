"""Objects of users by their import path: what is found, and what is said where nothing is."""

from __future__ import annotations

import sys

import pytest
from processes import here

from hpc_wgf import InputError
from hpc_wgf.config.imports import load_object

MODULE = """
import sys, torch
from torch import nn

class Kept:
    def value(self, x):
        return 0.5 * (x * x).sum(1)

kept = Kept()

def ends(dimension):
    sys.exit(0)

def fails(dimension):
    raise KeyError("a")

def other(dimension):
    return lambda z: z

def ending_kernel(square):
    sys.exit(0)
"""
SMALL = ["--set", "method.samples=50", "--set", "problem.until=0.01", "--set", "method.step=0.01"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with modules of a user."""
    (tmp_path / "given.py").write_text(MODULE)
    (tmp_path / "leaves.py").write_text("raise SystemExit")
    (tmp_path / "broken.py").write_text("def V(x")
    (tmp_path / "lacking.py").write_text("import no_such_module")
    (tmp_path / "random.py").write_text("V = 1")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("given", None)


def test_an_object_inside_another_is_found_and_the_search_path_left_as_it_was():
    before = list(sys.path)
    assert load_object("given:kept.value", "a potential").__name__ == "value"
    assert sys.path == before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("given", 'write "module:name"'),
        ("given.py:kept", 'write "module:name", the module as Python imports it'),
        ("folder/given:kept", 'write "module:name", the module as Python imports it'),
        ("given:kept.nothing", r"module 'given' \(.*given.py\) has no 'kept.nothing'"),
        ("leaves:V", r"the module 'leaves' .* ends the program, by sys.exit\(None\)"),
        ("broken:V", "importing 'broken' for a potential failed: SyntaxError"),
        ("lacking:V", "cannot import 'lacking' for a potential: No module named 'no_such_module'"),
        ("random:V", r"module 'random' \(.*\) has no 'V'"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(path, message):
    """A file of the name of a library does not take its place: the last one names the library's."""
    with pytest.raises(InputError, match=message) as refused:
        load_object(path, "a potential")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ends", r"given:ends ends the program, by sys.exit(0)"),
        ("fails", "given:fails could not make a module for the dimension 2: KeyError: 'a'"),
        ("other", "given:other returned a function, expected a torch.nn.Module"),
    ],
)
def test_a_factory_that_makes_no_module_ends_with_status_2(name, message, folder):
    """The first ended with status 0 and without a word."""
    map = f'map=[{{kind="module", factory="given:{name}"}}]'
    done = here("run", "ou-2d", *SMALL, "--set", map, "--out", "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "run").exists()


def test_a_kernel_that_ends_the_program_does_not_end_it_without_a_word():
    kernel = 'kernel={kind="user-kernel", function="given:ending_kernel"}'
    energy = f'problem.energy=[{{kind="interaction", {kernel}}}]'
    done = here("run", "ou-2d", *SMALL, "--set", energy, "--out", "run")
    assert done.returncode == 2
    assert "the kernel given:ending_kernel ends the program, by sys.exit(0)" in done.stderr


def test_a_method_of_an_object_is_a_potential():
    energy = 'problem.energy=[{kind="user", function="given:kept.value"}, {kind="entropy"}]'
    done = here("run", "ou-2d", *SMALL, "--set", energy, "--out", "run")
    assert done.returncode == 0, done.stderr
