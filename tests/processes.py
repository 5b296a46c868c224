"""Running the command line in processes of its own, alone or under torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpc_wgf import Summary, open_run

_HERE = Path(__file__).parent
SMALL = [
    "--set", "problem.until=0.2",
    "--set", "method.samples=400",
    "--set", "output.every=0.05",
]  # fmt: skip


def cli(*arguments: str | Path, ranks: int = 1, timeout: float = 240, **environment: str):
    """`hpc-wgf …` on one process or under torchrun; the finished process, never raising."""
    return _started(["-m", "hpc_wgf", *map(str, arguments)], ranks, timeout, environment)


def script(name: str, *arguments: object, ranks: int = 1, timeout: float = 240):
    """A script of `support/` on one process or under torchrun; the finished process."""
    program = [str(_HERE / "support" / name), *map(str, arguments)]
    return _started(program, ranks, timeout, {})


def _started(program: list[str], ranks: int, timeout: float, environment: dict[str, str]):
    launcher = [sys.executable]
    if ranks > 1:
        launcher += [
            "-m", "torch.distributed.run", "--nnodes", "1", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "localhost:0", "--nproc-per-node", str(ranks),
        ]  # fmt: skip
    inherited = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    path = os.pathsep.join([str(_HERE / "support"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*launcher, *program],
        env={**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environment},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def solved(*arguments: str | Path, ranks: int = 1, **environment: str) -> dict[str, Any]:
    """`hpc-wgf run/resume … --out PATH`, then what its report says."""
    done = cli(*arguments, ranks=ranks, **environment)
    assert done.returncode == 0, done.stderr
    store = arguments[1] if arguments[0] == "resume" else arguments[-1]
    return json.loads(Summary.of_store(open_run(store)).to_json())
