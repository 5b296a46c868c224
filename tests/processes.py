"""Running the command line in processes of its own, alone or under a launcher."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_wgf import Summary, open_run
from hpc_wgf.cli import app, main

_HERE = Path(__file__).parent
_BIN = Path(sys.executable).parent
SMALL = [
    "--set", "problem.until=0.2",
    "--set", "method.samples=400",
    "--set", "output.every=0.05",
]  # fmt: skip

FLAWED = [
    "--set", "problem.until=1.0",
    "--set", "method.samples=200",
    "--set", "output.every=0.05",
    "--set", "method.scheme=heun",
]  # fmt: skip


def cli(
    *arguments: str | Path, ranks: int = 1, launcher: str = "fork", timeout: float = 240,
    **environment: str,
):  # fmt: skip
    """`hpc-wgf …` on ranks of their own, forked, under a launcher or, with "none", in a process
    that may run beside others; the finished process, never raising."""
    program = ["-m", "hpc_wgf", *map(str, arguments)]
    return _started(program, ranks, launcher, timeout, environment)


def here(*arguments: str | Path) -> subprocess.CompletedProcess:
    """`hpc-wgf …` in this process, as if it had been one of its own: that would take longer to
    start than most commands take."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), _as_in_a_new_process():
        before, sys.argv = sys.argv, ["hpc-wgf", *map(str, arguments)]
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.argv = before
    return subprocess.CompletedProcess(list(arguments), status, out.getvalue(), err.getvalue())


def flawed(
    folder: Path, function: str, *settings: str, ranks: int = 2, rank: int = 1,
    launcher: str = "fork",
):  # fmt: skip
    """A run into `folder`/run whose potential, of `support/user_objects.py`, goes wrong on one
    rank: the finished process, and the seconds that it went on for (nan where nothing did)."""
    potential = f'problem.energy.0={{kind="user", function="user_objects:{function}"}}'
    moment = folder / "flawed"
    done = cli(
        "run", "ou-2d", *FLAWED, "--set", potential, *settings, "--out", folder / "run",
        ranks=ranks, launcher=launcher, timeout=180, FLAWED_RANK=str(rank), FLAWED_AT=str(moment),
    )  # fmt: skip
    return done, time.time() - moment.stat().st_mtime if moment.exists() else math.nan


def script(
    name: str, *arguments: object, ranks: int = 1, launcher: str = "fork", timeout: float = 240
):
    """A script of `support/` on ranks, forked or under a launcher; the finished process."""
    program = [str(_HERE / "support" / name), *map(str, arguments)]
    return _started(program, ranks, launcher, timeout, {})


def started_by_hand(name: str, *arguments: object, **environment: str):
    """A script of `support/` in a process of its own, with the variables of a launcher as given."""
    program = [str(_HERE / "support" / name), *map(str, arguments)]
    return _started(program, 1, "torchrun", 240, environment)


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """The lines of a finished process that say why it failed."""
    # One stray byte, of any value, ends every message of Open MPI's own (openpmix/prrte#1905).
    return [line for line in done.stderr.splitlines() if re.match(r"\s*.?error:", line)]


def launched(
    *arguments: str | Path, ranks: int, restarts: int = 0, launcher: str = "torchrun"
) -> subprocess.Popen:
    """`hpc-wgf …` under a launcher, still running, to which Ctrl-C is not without effect."""
    flags = ["--max-restarts", str(restarts)] if launcher == "torchrun" else []
    command = [*_LAUNCHERS[launcher](ranks), *flags, "-m", "hpc_wgf"]
    return subprocess.Popen(
        [*command, *map(str, arguments)], env=_environment({}), text=True, errors="replace",
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def on_their_own(*arguments: str | Path, ranks: int) -> list[subprocess.Popen]:
    """`hpc-wgf …` on ranks that no launcher watches, still running, by rank."""
    meet = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "hpc_wgf", *map(str, arguments)]
    return [
        subprocess.Popen(
            command, env=_environment({**meet, "RANK": str(rank), "LOCAL_RANK": str(rank),
                                       "LOCAL_WORLD_SIZE": str(ranks)}),
            text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for rank in range(ranks)
    ]  # fmt: skip


def ranks_of(job: subprocess.Popen) -> list[int]:
    """The process numbers of the ranks of a running torchrun, by rank."""
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    found = {}
    for pid in children:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        found[int(dict(v.split(b"=", 1) for v in variables if b"=" in v)[b"RANK"])] = int(pid)
    return [found[rank] for rank in range(len(found))]


def _torchrun(ranks: int) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--rdzv-backend", "c10d",
        "--rdzv-endpoint", "localhost:0", "--nproc-per-node", str(ranks),
    ]  # fmt: skip


def _mpirun(ranks: int) -> list[str]:
    flags = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
    return [str(_BIN / "mpirun"), *flags, "-n", str(ranks), sys.executable]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def _deepspeed(ranks: int) -> list[str]:
    port = ["--master_port", str(free_port())]
    return [str(_BIN / "deepspeed"), "--num_gpus", str(ranks), *port]


def _none(ranks: int) -> list[str]:
    return [sys.executable]


_LAUNCHERS = {"torchrun": _torchrun, "mpirun": _mpirun, "deepspeed": _deepspeed, "none": _none}


def needs(launcher: str, extra: str):
    """Skips a test where the launcher is not in this environment, and says what to install."""
    return pytest.mark.skipif(
        not (_BIN / launcher).exists(),
        reason=f"no {launcher} in this environment: pip install 'hpc-wgf[{extra}]'",
    )


MPIRUN = pytest.param("mpirun", marks=needs("mpirun", "mpi"))
DEEPSPEED = pytest.param("deepspeed", marks=needs("deepspeed", "deepspeed"))


def _started(
    program: list[str], ranks: int, launcher: str, timeout: float, environment: dict[str, str]
):
    if launcher == "fork":
        return _forked(program, ranks, timeout, environment)
    command = _LAUNCHERS[launcher](ranks) if ranks > 1 else [sys.executable]
    if ranks > 1 and launcher == "deepspeed" and program[0] == "-m":
        program = ["--module", *program[1:]]
    return subprocess.run(
        [*command, *program], env=_environment(environment),
        capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
    )  # fmt: skip


def _forked(program: list[str], ranks: int, timeout: float, more: dict[str, str]):
    """The program on forks of a process that has imported everything; see support/forked.py."""
    environments = [_environment(more)]
    if ranks > 1:
        meet = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}  # fmt: skip
        environments = [
            _environment({**meet, "RANK": str(rank), "LOCAL_RANK": str(rank), **more})
            for rank in range(ranks)
        ]
    with tempfile.TemporaryDirectory() as folder:
        told = [Path(folder, name) for name in ("out", "err")]
        for file in told:
            file.touch()
        statuses = _forks().run(
            program=program, environments=environments, folder=os.getcwd(),
            out=str(told[0]), err=str(told[1]), timeout=timeout,
        )  # fmt: skip
        out, err = (file.read_text(errors="replace") for file in told)
    status = statuses[0] if ranks == 1 else int(any(statuses))  # as torchrun's
    return subprocess.CompletedProcess(program, status, out, err)


class _Forks:
    """A process whose forks are ranks; it ends with this one."""

    def __init__(self) -> None:
        command = [sys.executable, str(_HERE / "support" / "forked.py")]
        self._server = subprocess.Popen(
            command, env=_environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, **job: Any) -> list[int]:
        """The statuses of a job's ranks."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        statuses = json.loads(self._server.stdout.readline())
        if statuses is None:
            raise subprocess.TimeoutExpired(job["program"], job["timeout"])
        return statuses


@cache
def _forks() -> _Forks:
    return _Forks()


def _environment(more: dict[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    path = {
        # An empty entry would be the working folder.
        name: os.pathsep.join([str(first), *filter(None, [os.environ.get(name)])])
        for name, first in (("PYTHONPATH", _HERE / "support"), ("PATH", _BIN))
    }
    restarts = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # see launch/torchrun.sh
    return {**inherited, **path, **restarts, "OMP_NUM_THREADS": "1", **more}


def solved(
    *arguments: str | Path, ranks: int = 1, launcher: str = "fork", **environment: str
) -> dict[str, Any]:
    """`hpc-wgf run/resume … --out PATH`, then what its report says. One rank is this process, as
    nothing of a process of its own is wanted: it would take longer to start than to solve."""
    if ranks == 1 and not environment:
        _in_this_process(*arguments)
    else:
        done = cli(*arguments, ranks=ranks, launcher=launcher, **environment)
        assert done.returncode == 0, done.stderr
    store = arguments[1] if arguments[0] == "resume" else arguments[-1]
    return json.loads(Summary.of_store(open_run(store)).to_json())


def _in_this_process(*arguments: str | Path) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), _as_in_a_new_process():
        app(list(map(str, arguments)), standalone_mode=False)


@contextmanager
def _as_in_a_new_process() -> Iterator[None]:
    """With the precision that torch then has for what it makes."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
