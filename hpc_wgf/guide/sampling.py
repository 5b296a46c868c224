"""Errors on independent samples and on Sobol points, from the record of their benchmark."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from .records import Record, records
from .sections import markdown_table

_NAME = "step-sampling"
PICTURE = Path("pictures") / "sampling.png"
"""Under `data`."""


def sampling_table(data: Path) -> str:
    """A line for each problem and number of samples."""
    rows = [
        [
            f"`{row['problem']}`", f"{row['samples']:,}", _error(row, "random"),
            _error(row, "sobol"), "" if row["ratio"] is None else f"{row['ratio']:.1f}",
        ]
        for row in _record(data)["rows"]
    ]  # fmt: skip
    return markdown_table(["problem", "n", "random", "Sobol", "ratio"], rows)


def draw(data: Path) -> None:
    """Write `PICTURE`: the errors over n, a panel for each problem."""
    from matplotlib.figure import Figure

    panels = [
        (name, list(rows))
        for name, rows in groupby(_record(data)["rows"], lambda row: row["problem"])
    ]
    figure = Figure(figsize=(3.0 * len(panels), 2.8), layout="constrained")
    for place, (name, rows) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for sampling, mark in (("random", "o-"), ("sobol", "s-")):
            known = [row for row in rows if row[f"error_{sampling}"] is not None]
            axes.loglog(
                [row["samples"] for row in known], [row[f"error_{sampling}"] for row in known],
                mark, label=sampling,
            )  # fmt: skip
        axes.set(title=name, xlabel="samples n", ylabel="error / displacement")
        axes.legend()
    figure.savefig(data / PICTURE, dpi=110)


def _record(data: Path) -> Record:
    return records(data / "benchmarks")[_NAME]


def _error(row: Record, sampling: str) -> str:
    error, failures = row[f"error_{sampling}"], row[f"failures_{sampling}"]
    said = "" if error is None else f"{error:.1e}"
    return said + (f" ({failures} failed)" if failures else "")
