"""Tables of accuracy, from the reports of the named problems under `data/runs`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from ..config import load
from .records import Record, records, run_command, versions_line
from .sections import markdown_table

_SHORT = (
    "ou-10d", "heat-merging-1d", "double-well-1d", "styblinski-tang-2d", "styblinski-tang-30d",
    "styblinski-tang-30d-long", "porous-2d", "porous-15d", "gmm-two-moons", "gmm-8d",
)  # fmt: skip
_SIZES = {"block": "width", "spline": "knots", "planar": "layers", "perceptron": "widths"}


def short_table(data: Path) -> str:
    """Some named problems: what they are, dimension, error or divergence, seconds."""
    runs = records(data / "runs")
    rows = [
        [f"`{name}`", _title(name), str(run["dimension"]), _verdict(run), _seconds(run)]
        for name, run in ((name, runs[name]) for name in _SHORT)
    ]
    head = ["problem", "what it is", "d", "map error over displacement, or KL", "seconds"]
    return markdown_table(head, rows)


def exact_table(data: Path) -> str:
    """The named problems whose exact map is known."""
    rows = []
    for name, run in records(data / "runs").items():
        errors = run["map_error_relative"]
        if errors is not None:
            divergence = run["symmetric_kl"]
            last = "" if divergence is None else _short(divergence[-1])
            rows.append([*_problem(name, run), _short(_largest(errors)), _short(errors[-1]), last])
    head = ["problem", "d", "until", "map", "largest error", "error at the end", "symmetric KL"]
    return markdown_table(head, rows)


def other_table(data: Path) -> str:
    """The named problems without an exact map."""
    rows = []
    for name, run in records(data / "runs").items():
        if run["map_error_relative"] is None:
            energy = f"{run['energy'][0]:.4g} → {run['energy'][-1]:.4g}"
            left = _largest(run["projection_error_fresh_relative"])
            rows.append(
                [
                    *_problem(name, run),
                    energy,
                    _divergence(run),
                    "" if left is None else f"{left:.0%}",
                ]
            )
    head = ["problem", "d", "until", "map", "energy", "KL to equilibrium", "force not followed"]
    return markdown_table(head, rows)


def work_table(data: Path) -> str:
    """What the runs took."""
    rows = [
        [
            f"`{name}`", str(run["samples"]), str(run["parameters"]), str(run["preconditioner"]),
            f"{run['steps']} ({run['rejected']})", f"{run['products_per_solve']:.1f}",
            _short(run["worst_residual"]), str(run["ranks"]), _seconds(run),
        ]
        for name, run in records(data / "runs").items()
    ]  # fmt: skip
    head = ["problem", "samples", "parameters", "preconditioner", "steps (rejected)",
            "products a solve", "worst residual", "ranks", "seconds"]  # fmt: skip
    return markdown_table(head, rows)


def commands(data: Path) -> str:
    """The command of every record, and the versions that it was made with."""
    runs = sorted(records(data / "runs").items(), key=_versions)
    parts = []
    for versions, group in groupby(runs, key=_versions):
        lines = [run_command(name, run) for name, run in group]
        block = "\n".join(["<!-- long -->", "```bash", *lines, "```"])
        parts.append(f"With {versions}, on the CPU:\n\n{block}")
    return "\n\n".join(parts)


def _versions(item: tuple[str, Record]) -> str:
    return versions_line(item[1])


def _problem(name: str, run: Record) -> list[str]:
    return [f"`{name}`", str(run["dimension"]), f"{run['until']:g}", _map(run["problem"])]


def _map(name: str) -> str:
    """The maps of a named problem in the order in which they act, equal ones counted."""
    words = []
    for table in load(name).map or ():
        size = getattr(table, _SIZES.get(table.kind, ""), None)
        words.append(table.kind if size is None else f"{table.kind} {size}")
    counted = [(word, len(list(same))) for word, same in groupby(words)]
    return " + ".join(word if count == 1 else f"{count} × {word}" for word, count in counted)


def _title(name: str) -> str:
    return load(name).problem.title


def _verdict(run: Record) -> str:
    errors = run["map_error_relative"]
    return _divergence(run) if errors is None else _short(_largest(errors))


def _divergence(run: Record) -> str:
    divergence = run["kl_divergence"]
    return "" if divergence is None else f"KL {divergence[0]:.3g} → {divergence[-1]:#.2g}"


def _seconds(run: Record) -> str:
    return (
        f"{run['wall_seconds']:.2g}" if run["wall_seconds"] < 10 else f"{run['wall_seconds']:.0f}"
    )


def _largest(column: Sequence[float | None]) -> float | None:
    return max((value for value in column if value is not None), default=None)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}".replace("e-0", "e-")
