"""Tables of the benchmarks recorded under `data/benchmarks`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .records import Record, bench_command, machine_line, records
from .sections import markdown_table

_TITLES = {
    "product": "Products with the metric",
    "solve": "One solve, plain and preconditioned, to the same projection error",
    "step-planar": "Ten steps of planar layers, against plain MINRES on torch.func products",
    "step-preconditioner": "Whole runs to an error of 1e-3, plain and preconditioned",
    "step-schemes": "Whole runs by scheme",
    "step-sampling": "Errors on independent samples and on Sobol points",
    "methods": "Every method, to the same error",
    "rivals": "The same question to this solver and to other ways",
    "recipe": "A whole run, against the recipe of [PWGF 5.2]",
    "jko": "The primal-dual method against exact JKO steps",
    "jko-2d": "The same in two dimensions",
    "jko-porous": "The same for a porous medium on the line",
    "ring": "Sums over pairs, one rank",
    "ring-2-ranks": "Sums over pairs, two ranks",
    "scaling-ranks": "A product on several ranks",
    "scaling-samples": "A step as the samples grow",
    "scaling-dimension": "A step as the dimension grows",
    "scaling-1000": "A step in a thousand dimensions",
    "draws": "Samples of a step, their densities and scores",
    "store": "A row to the store, against numpy.save",
    "gpu-nvidia-h100-80gb-hbm3": "What a step is made of on an H100, as no GPU had run it before",
    "run-porous-5d": "Where every second of a whole run goes, on one rank and on two",
    "run-styblinski-tang-30d": "The same, with a larger map",
    "output": "What the store takes of a run as the catalogue has it",
    "output-large": "What the store takes of a run with a row at every step",
}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "product": {
        "case": "case", "samples": "n", "parameters": "p", "milliseconds": "ms",
        "matmul_share": "of the matmul rate", "ratio_torch_func": "× torch.func",
        "ratio_double_backward": "× double backward",
    },
    "solve": {
        "case": "problem", "samples": "n", "parameters": "p", "kind": "preconditioner",
        "products_plain": "products, plain", "products_preconditioned": "preconditioned",
        "seconds_plain": "s, plain", "seconds_preconditioned": "s, preconditioned",
        "seconds_build": "s to build it",
    },
    "store": {
        "samples": "n", "dimension": "d", "megabytes": "MB a row", "files": "files a row",
        "seconds": "s a row", "seconds_numpy": "s, numpy.save", "ratio": "× numpy.save",
    },
    "run": {
        "part": "part", "seconds": "s", "share": "share", "cpu_seconds": "CPU s",
        "seconds_by_rank": "s by rank", "waiting": "s of waiting", "cpu_of_ranks": "CPU s of ranks",
        "repeated": "repeated", "speed_up": "speed-up", "over_products": "over the products'",
        "serial_share": "serial share", "of_matmul_rate": "of the matmul rate",
        "of_bandwidth": "of the bandwidth",
    },
    "output": {
        "problem": "problem", "samples": "n", "rows": "rows", "steps": "steps", "megabytes": "MB",
        "seconds": "s", "seconds_without": "s, without", "share": "share lost",
        "share_of_work": "of processor time",
    },
    "step": {
        "problem": "problem", "scheme": "scheme", "samples": "n", "steps": "steps",
        "solves": "solves", "products": "products", "products_torch_func": "products, plain",
        "products_plain": "products, plain", "products_preconditioned": "preconditioned",
        "error": "map error", "error_random": "map error, random", "error_sobol": "Sobol",
        "seconds": "s", "seconds_plain": "s, plain",
        "seconds_preconditioned": "s, preconditioned", "seconds_torch_func": "s, torch.func",
        "ratio": "ratio",
    },
    "methods": {
        "problem": "problem", "dimension": "d", "method": "method", "figure": "error is that of",
        "error": "error", "reached": "reached", "seconds": "s", "samples": "n",
        "parameters": "p", "steps": "steps", "stages": "stages",
    },
    "rivals": {
        "problem": "problem", "dimension": "d", "rival": "way", "error": "error",
        "floor": "of the truth", "error_density": "L¹ of the density", "seconds": "s",
        "seconds_as_good": "s to our error", "samples": "samples", "particles": "particles",
        "cells": "cells", "steps": "steps",
    },
    "recipe": {
        "problem": "problem", "error": "map error", "seconds_ours": "s, ours",
        "seconds_a_step_paper": "s a step, recipe", "steps_paper": "its steps",
        "steps_measured": "of them measured", "seconds_paper": "s, recipe, extrapolated",
    },
    "jko": {
        "problem": "problem", "dimension": "d", "seed": "seed", "error": "SymKL to the flow",
        "error_jko": "of exact JKO", "ratio": "ratio", "to_jko": "to exact JKO",
        "gap": "gap", "gap_error": "its standard error",
        "least_gap_in_errors": "least gap, in these", "seconds": "s",
    },
    "ring": {
        "route": "route", "kernel": "kernel", "dimension": "d", "particles": "particles",
        "seconds": "s", "ns_per_pair": "ns a pair", "matmul_share": "of the matmul rate",
    },
    "scaling": {
        "map": "map", "value": "value", "samples": "n", "parameters": "p", "products": "products",
        "seconds": "s", "seconds_a_product": "s a product", "peak_mebibytes": "peak MiB",
        "ratio": "speed-up", "exponent": "exponent", "all_reduce_share": "all-reduce",
    },
}  # fmt: skip


def benchmark_sections(data: Path) -> str:
    """A section for every record: table, command, machine."""
    found = records(data / "benchmarks")
    names = [*(name for name in _TITLES if name in found), *sorted(found.keys() - _TITLES.keys())]
    return "\n\n".join(_section(name, found[name]) for name in names)


def _section(name: str, record: Record) -> str:
    return "\n\n".join(
        [
            f"### {_TITLES.get(name, name)}",
            _table(record),
            f"On {machine_line(record)}.",
            f"<!-- long -->\n```bash\n{bench_command(record)}\n```",
        ]
    )


def _table(record: Record) -> str:
    """The columns of the benchmark, or all where none are chosen, that any row fills."""
    rows = record["rows"]
    present = list(dict.fromkeys(key for row in rows for key in row))
    chosen = _COLUMNS.get(record["configuration"]["benchmark"], {key: key for key in present})
    kept = {
        key: head for key, head in chosen.items() if any(row.get(key) is not None for row in rows)
    }
    return markdown_table(
        list(kept.values()), [[_cell(row.get(key)) for key in kept] for row in rows]
    )


def _cell(value: Any) -> str:
    """Three figures of a number, whole ones in full."""
    if value is None:
        return ""
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 1e6):
        return f"{value:.3g}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)
