"""SIGKILL of one of two ranks that no launcher watches, or of both, at many random moments.

Usage: kill_study.py [KILLS] [--out FILE]. Ranks are forked from this process, which has imported
all that they need: to start them anew would take ten times longer than the run. FILE gets what was
found.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from processes import SMALL, free_port
from stores import assert_same

from hpc_wgf import open_run
from hpc_wgf.cli import main as command
from hpc_wgf.errors import InputError
from hpc_wgf.store import check

_RANKS, _PATIENCE = 2, 60.0
_FLOW = [*SMALL, "--set", "output.every=0.01", "--set", "method.step=0.01"]  # rows at all steps
_FORK = multiprocessing.get_context("fork")


def _rank(rank: int, port: int, arguments: Sequence[str], said: Path) -> None:
    """One rank, in a process of its own."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(_RANKS), MASTER_PORT=str(port),
        LOCAL_WORLD_SIZE=str(_RANKS), MASTER_ADDR="127.0.0.1", CUDA_VISIBLE_DEVICES="",
    )  # fmt: skip
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.dup2(2, 1)
    torch.set_default_dtype(torch.float32)
    sys.argv = ["hpc-wgf", *arguments]
    command()


def _started(said: Path, *arguments: str) -> list[Any]:
    port = free_port()
    ranks = [
        _FORK.Process(target=_rank, args=(rank, port, arguments, said)) for rank in range(_RANKS)
    ]
    for rank in ranks:
        rank.start()
    return ranks


def _ended(said: Path, *arguments: str) -> None:
    """A run of two ranks, which ends well."""
    ranks = _started(said, *arguments)
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * _RANKS, said.read_text()


def _rows(store: Path) -> int:
    """Committed rows, 0 before there is a store."""
    try:
        return open_run(store).rows
    except InputError:
        return 0


def _killed(folder: Path, chance: random.Random, takes: float, rows: int) -> dict[str, Any]:
    """One kill of one rank or of both, at a random moment of a random row; what was found."""
    store, said = folder / "run", folder / "said"
    lost, wanted = chance.choice([(0,), (1,), (0, 1)]), chance.randrange(rows - 1)
    ranks = _started(said, "run", "ou-2d", *_FLOW, "--out", str(store))
    while ranks[0].exitcode is None and not (store.exists() and _rows(store) >= wanted):
        time.sleep(0.001)  # until they have met, and come so far
    time.sleep(chance.uniform(0.0, takes / rows))
    before, begun = _rows(store), time.monotonic()
    alive = all(rank.exitcode is None for rank in ranks)
    for rank in lost:
        ranks[rank].kill()
    for rank in ranks:
        rank.join(_PATIENCE)
    took = time.monotonic() - begun
    assert all(rank.exitcode is not None for rank in ranks), f"one goes on after {took:.0f} s"
    # A rank that is killed when all has been written is not missed.
    spared = [rank.exitcode for number, rank in enumerate(ranks) if number not in lost]
    assert 0 not in spared or _rows(store) == rows, said.read_text()
    assert "Traceback" not in said.read_text(), said.read_text()
    found = {"killed": list(lost), "alive": alive, "rows before": before,
             "rows after": _rows(store), "survivor's seconds": round(took, 2)}  # fmt: skip
    assert found["rows after"] >= before
    return found


def study(kills: int) -> Iterator[dict[str, Any]]:
    """So many kills; errors: `AssertionError` where one is not survived."""
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        _ended(Path(place) / "said", "run", "ou-2d", *_FLOW, "--out", str(whole))
        takes = float(open_run(whole).last("wall_seconds"))
        for number in range(kills):
            folder = Path(place) / str(number)
            folder.mkdir()
            one = _killed(folder, random.Random(number), takes, open_run(whole).rows)
            if (folder / "run").exists():
                assert check(open_run(folder / "run")) == []
                _ended(folder / "said", "resume", str(folder / "run"))
                assert_same(open_run(folder / "run"), open_run(whole))
            yield one
            shutil.rmtree(folder)


def main() -> None:
    """The command."""
    arguments = sys.argv[1:]
    out = Path(arguments[arguments.index("--out") + 1]) if "--out" in arguments else None
    found: list[dict[str, Any]] = []
    for one in study(int(arguments[0]) if arguments and arguments[0].isdecimal() else 30):
        found.append(one)
        print(len(found), one, flush=True)
        if out is not None:
            out.write_text(json.dumps(_record(found), indent=1) + "\n")


def _record(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "ranks": _RANKS,
        "kills": len(found),
        "while both ranks were at work": sum(one["alive"] for one in found),
        "resumed bitwise from rows": sum(one["rows after"] > 0 for one in found),
        "longest survivor's seconds": max(one["survivor's seconds"] for one in found),
        "each": found,
    }


if __name__ == "__main__":
    main()
