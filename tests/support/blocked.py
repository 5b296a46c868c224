"""Pairs of ranks, of which one is blocked in C, where Python's signals and exceptions do not reach
it, and the other one goes wrong. How each ended is printed as JSON.

Usage: blocked.py FOLDER PORT… (a folder for what they say, and a free port for each pair). All are
children of one process, which imports torch once; those of one pair meet as any ranks do.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import hpc_wgf.parallel.torch_distributed as carrier
from hpc_wgf.parallel import distributed

# The rank that goes wrong, and what the environment says.
PAIRS = {
    "killed": (1, {}),
    "killed-first": (0, {}),
    "raises": (1, {}),
    "silent": (1, {"HPC_WGF_HEARTBEAT_TIMEOUT": "2"}),
    "hangs": (1, {"HPC_WGF_COLLECTIVE_TIMEOUT": "2"}),
    "leaves": (1, {}),
}


def block(library: type, seconds: int) -> None:
    """Wait in C: with `ctypes.CDLL` without Python's lock, with `ctypes.PyDLL` holding it."""
    library(None).sleep(seconds)


def wait_as_on_gpus() -> None:
    """Let collectives wait for ever, as those of NCCL do."""
    connect = carrier.TorchCommunicator._connect

    def connected(self: carrier.TorchCommunicator) -> None:
        connect(self)
        self.capturable = True

    carrier.TorchCommunicator._connect = connected


def rank(mode: str, wrong: int, moment: Path) -> None:
    """What one rank does until it ends; `moment`: a file for when it goes wrong."""
    global __name__
    if mode == "hangs":
        wait_as_on_gpus()
    with distributed("cpu") as ranks:
        ranks.gather(None)
        __name__ = "hpc_wgf.waiting"  # as in a solve
        if ranks.rank != wrong:
            block(ctypes.CDLL, 3 if mode == "leaves" else 60)
            return
        time.sleep(0.5)
        moment.write_text(str(time.time()))
        if mode == "raises":
            raise ZeroDivisionError("the cause")
        if mode == "hangs":
            block(ctypes.CDLL, 60)
        if mode == "silent":
            signal.alarm(5)  # kills it
            block(ctypes.PyDLL, 60)
        if mode != "leaves":
            os.kill(os.getpid(), signal.SIGKILL)


def started(mode: str, number: int, port: str, folder: Path) -> int:
    """The number of the process of a rank."""
    process = os.fork()
    if process:
        return process
    wrong, patience = PAIRS[mode]
    said = os.open(folder / f"{mode}-{number}", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 2)
    os.environ.update(
        RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=port, **patience,
    )  # fmt: skip
    try:
        rank(mode, wrong, folder / mode)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(0)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    running = {}
    for mode, port in zip(PAIRS, sys.argv[2:], strict=True):
        running.update({started(mode, number, port, folder): (mode, number) for number in (0, 1)})
    found: dict[str, list] = {mode: [None, None] for mode in PAIRS}
    while running:
        process, status = os.wait()
        mode, number = running.pop(process)
        after = time.time() - float((folder / mode).read_text())
        said = (folder / f"{mode}-{number}").read_text()
        found[mode][number] = [os.waitstatus_to_exitcode(status), after, said]
    print(json.dumps(found))
