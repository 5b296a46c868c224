"""The README's Python example is short and runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_example_runs_in_ten_lines():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    names: dict = {}
    exec(example, names)
    errors = names["run"].summary.map_error_relative
    assert errors[0] == 0.0
    assert max(errors) < 0.03
