"""What Deep JKO reaches on named problems, recorded in data/deep-jko.json.

Usage: deep_jko_study.py [STUDY…], all of them by default; minutes each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

import hpc_wgf as wgf

RECORD = Path(__file__).parents[2] / "data" / "deep-jko.json"
KIND = "method.kind=deep-jko"
STUDIES = {
    "two-to-four": ("fp-two-to-four-2d", "method.sampling=sobol", "method.samples=4096"),
    "fermi-1d": (
        "mobility-fermi-1d",
        "problem.until=0.3",
        "output.every=0.1",
        "method.step=0.05",
        "method.sampling=sobol",
    ),
    "nonlocal": ("mobility-nonlocal", "method.sampling=sobol", "method.samples=2048"),
    "porous-2d": ("porous-deep-2d",),
    "porous-6d": ("porous-deep-6d",),
    "porous-10d": ("porous-deep-10d",),
    "four-10d": ("fp-four-10d", "problem.until=0.2", "output.every=0.1"),
    "kalman-near": (
        "kalman-elliptic-near",
        "problem.until=0.1",
        "output.every=0.1",
        "method.samples=4096",
    ),
    "kalman": ("kalman-elliptic", "problem.until=0.1", "output.every=0.1"),
}
"""A named problem and settings of each, beside the method's kind."""
FIGURES = ("times", "map_error_relative", "kl_divergence", "energy", "folded")


def record(problem: str, *settings: str) -> dict[str, object]:
    """What a run comes to."""
    spec = wgf.load_problem(problem, KIND, *settings)
    run_file = wgf.config.load(problem, (KIND, *settings))
    summary = wgf.solve(*spec, run_file.output, configuration=run_file.stored()).summary
    told = json.loads(summary.to_json())
    return {
        "problem": problem,
        "settings": [KIND, *settings],
        **{name: told[name] for name in ("samples", "parameters", "steps", *FIGURES)},
        "seconds": told["wall_seconds"],
    }


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in sys.argv[1:] or STUDIES:
        known[name] = record(*STUDIES[name])
        RECORD.write_text(json.dumps(known, indent=1) + "\n")
        print(name, known[name], flush=True)
