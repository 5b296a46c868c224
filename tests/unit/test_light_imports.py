"""What needs no torch does not import it: that takes seconds, and --help should take none."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hpc_wgf


def torch_after(code: str) -> bool:
    """Whether torch is imported once `code` has run in a process of its own."""
    code = f"import sys\n{code}\nprint('\\ntorch' in [f'\\n{{name}}' for name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()[-1] == "True"


def test_tables_and_the_command_line_import_no_torch():
    assert not torch_after("import hpc_wgf, hpc_wgf.config, hpc_wgf.cli, hpc_wgf.config.schema")


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "ou-2d"], ["keys"]])
def test_commands_that_only_tell_import_no_torch(arguments):
    """Nor, but for the keys themselves, any table of keys, which takes as long as all the rest."""
    tables = "" if arguments == ["keys"] else "assert 'hpc_wgf.config.table' not in sys.modules"
    code = (
        "from hpc_wgf.cli import main\n"
        f"sys.argv = ['hpc-wgf', *{arguments!r}]\n"
        "try: main()\n"
        f"except SystemExit as end: assert not end.code\n{tables}"
    )
    assert not torch_after(code)


def test_building_does():
    assert torch_after("import hpc_wgf; hpc_wgf.load_problem('ou-2d')")


def test_all_public_names_are_there_on_demand():
    module = hpc_wgf
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    assert imported == set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_stars_and_dir_see_the_public_names():
    names: dict = {}
    exec("from hpc_wgf import *", names)
    assert set(hpc_wgf.__all__) <= set(names)
    assert set(hpc_wgf.__all__) <= set(dir(hpc_wgf))
    assert callable(hpc_wgf.solve)


def test_triton_is_not_imported_with_the_package():
    """It takes a compiler to work, and is for GPUs alone."""
    code = (
        "import hpc_wgf, hpc_wgf.gpu, hpc_wgf.maps, hpc_wgf.ensemble, hpc_wgf.methods.pwgf, sys\n"
        "assert 'triton' not in sys.modules"
    )
    assert torch_after(code)
