"""What the generated sections of README and guide are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import accuracy, performance, rivals, sampling
from .pages import NAMES
from .sections import filled


def pages_of(checkout: Path) -> list[Path]:
    """README and the pages of the guide in a checkout."""
    guide = checkout / "hpc_wgf" / "guide"
    return [checkout / "README.md", *(guide / f"{name}.md" for name in NAMES)]


def regenerated(page: Path, checkout: Path) -> str:
    """The text of a page with its generated sections made anew from the records of the checkout."""
    return filled(page.read_text(encoding="utf-8"), _sections(checkout / "data"))


def _sections(data: Path) -> dict[str, Callable[[], str]]:
    return {
        "accuracy-short": lambda: accuracy.short_table(data),
        "accuracy-exact": lambda: accuracy.exact_table(data),
        "accuracy-other": lambda: accuracy.other_table(data),
        "accuracy-work": lambda: accuracy.work_table(data),
        "accuracy-commands": lambda: accuracy.commands(data),
        "rivals": lambda: rivals.rivals_table(data),
        "rivals-refusals": lambda: rivals.refusals_table(data),
        "rivals-findings": lambda: rivals.findings(data),
        "sampling": lambda: sampling.sampling_table(data),
        "benchmarks": lambda: performance.benchmark_sections(data),
    }
