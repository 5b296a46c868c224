"""The launch scripts: what they set up they leave alone when it is right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "launch").glob("*.sh")) + [ROOT / ".ci" / "run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(
    not (ROOT / ".venv" / "hpc-wgf.stamp").exists(), reason="set up with: bash launch/setup.sh"
)
def test_setup_does_nothing_when_the_environment_is_right():
    stamp = ROOT / ".venv" / "hpc-wgf.stamp"
    before = stamp.stat().st_mtime_ns
    again = subprocess.run(
        ["bash", ROOT / "launch" / "setup.sh"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert again.returncode == 0
    assert again.stderr == ""
    assert stamp.stat().st_mtime_ns == before


def test_ci_calls_the_test_command_of_the_readme():
    assert "bash launch/test.sh" in (ROOT / ".ci" / "run").read_text()
    assert "bash launch/test.sh" in (ROOT / "README.md").read_text()
