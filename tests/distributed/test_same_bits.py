"""Changes of structure change no number: θ and particles of short runs, as recorded before them.

Bits are those of one kind of processor: on another the products of matrices are added in another
order, and the recorded figures are held to the accuracy of the solves instead.

Record anew: PYTHONPATH=.:tests python tests/distributed/test_same_bits.py FILE
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import script

from hpc_wgf import open_run

_RECORD = Path(__file__).parents[1] / "support" / "same_bits.json"
_STEP = {  # of a fixed run; two of them are taken
    "ou-10d": 0.05, "porous-5d": 0.05, "styblinski-tang-2d": 0.02, "aggregation-2d": 0.05,
    "aggregation-log": 0.02, "gmm-two-moons": 0.02,
}  # fmt: skip
_KINDS = {
    "fixed": ["method.tolerance=none", "method.scheme=heun"],
    "adaptive": ["method.tolerance=3e-3", "method.scheme=kutta32"],
}
_DTYPES = ("float64", "float32")


def _runs() -> dict[str, list[str]]:
    """Name of a run → named problem and settings."""
    runs = {}
    for (name, step), kind, dtype in product(_STEP.items(), _KINDS, _DTYPES):
        start = 1.0 if name.startswith("porous") else 0.0
        runs[f"{name} {kind} {dtype}"] = [
            name, *_KINDS[kind], "method.samples=512", "method.rtol=1e-3", f"method.dtype={dtype}",
            f"method.step={step}", f"problem.until={start + 2 * step}", f"output.every={step}",
        ]  # fmt: skip
    return runs


def _figures(path: Path) -> dict[str, object]:
    run = open_run(path)
    theta = run.column("theta")
    kept = run.column("particles")
    return {
        "theta": hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest(),
        "particles": hashlib.sha256(np.ascontiguousarray(kept).tobytes()).hexdigest(),
        "energy": float(run.column("energy")[-1]),
        "spread": float(np.sqrt(np.mean(kept[-1].astype(float) ** 2))),
    }


def _solved(folder: Path, ranks: int) -> dict[str, dict[str, object]]:
    """What the runs on so many ranks gave."""
    stores = {str(folder / f"{name} on {ranks}"): run for name, run in _runs().items()}
    listed = folder / f"{ranks}.json"
    listed.write_text(json.dumps(stores))
    done = script("several_runs.py", listed, ranks=ranks, timeout=900)
    assert done.returncode == 0, done.stderr
    return {name: _figures(Path(store)) for name, store in zip(_runs(), stores, strict=True)}


def _processor() -> str:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model" in line]
    return f"{torch.backends.cpu.get_cpu_capability()}, {', '.join(sorted(set(model)))}"


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_theta_and_particles_are_those_recorded(tmp_path, ranks):
    record = json.loads(_RECORD.read_text())
    bits = record["processor"] == _processor() and record["torch"] == torch.__version__
    for name, found in _solved(tmp_path, ranks).items():
        kept = record["runs"][f"{name} on {ranks}"]
        if bits:
            assert (found["theta"], found["particles"]) == (kept["theta"], kept["particles"]), name
        accuracy = 1e-3 if "float32" in name else 1e-4
        for figure in ("energy", "spread"):
            assert found[figure] == pytest.approx(kept[figure], rel=accuracy), (name, figure)


def _record(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            f"{name} on {ranks}": figures
            for ranks in (1, 2, 4)
            for name, figures in _solved(Path(folder), ranks).items()
        }
    found = {"processor": _processor(), "torch": torch.__version__, "runs": runs}
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    _record(Path(sys.argv[1]))
