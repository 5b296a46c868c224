"""The launch scripts: what they set up they leave alone when it is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [*sorted((ROOT / "launch").glob("*.sh")), ROOT / ".ci" / "run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="runs in the environment of launch/setup.sh only"
)
def test_the_environment_that_set_up_built_is_taken_for_right():
    checked = subprocess.run(["bash", ROOT / "launch" / "setup.sh", "--check"], check=False)
    assert checked.returncode == 0


def test_ci_calls_the_test_command_of_the_readme():
    assert "bash launch/test.sh" in (ROOT / ".ci" / "run").read_text()
    assert "bash launch/test.sh" in (ROOT / "README.md").read_text()
