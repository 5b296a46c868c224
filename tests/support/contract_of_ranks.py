"""Run under a launcher: what a communicator does, case by case. Each rank writes RESULT-rank.pt.

Usage: contract_of_ranks.py RESULT torch|mpi collectives|failure|contest
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from hpc_wgf.errors import CommunicationError
from hpc_wgf.parallel import Communicator, MPICommunicator, TorchCommunicator, distributed


def values(rank: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """(5, 3), different on every rank, whose sum depends on the order of addition."""
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(5, 3, generator=generator, dtype=torch.float64).mul(10.0**rank).to(dtype)


def collectives(on: Communicator) -> dict[str, object]:
    """Sums of all kinds of tensors, transfers, and what every rank gathered."""
    kinds = {
        "float64": values(on.rank),
        "float32": values(on.rank, torch.float32),
        "bfloat16": values(on.rank, torch.bfloat16),
        "int64": values(on.rank, torch.int64),
        "transposed": values(on.rank).T,
        "every other column": values(on.rank).repeat_interleave(2, 1)[:, ::2],
        "scalar": values(on.rank)[0, 0].clone(),
        "empty": torch.empty(0, 3, dtype=torch.float64),
        "large": values(on.rank).repeat(20_000, 1),
    }
    found: dict[str, object] = {}
    for name, tensor in kinds.items():
        returned = on.sum(tensor)
        assert returned is tensor
        found[name] = tensor.clone(memory_format=torch.contiguous_format)
    left, right = (on.rank - 1) % on.size, (on.rank + 1) % on.size
    first, second = torch.empty(5, 3, dtype=torch.float64), torch.empty(2, dtype=torch.float32)
    short = torch.full((2,), float(on.rank))
    waits = [  # two at a time, completed in the other order
        on.exchange(values(on.rank), right, first, left),
        on.exchange(short, left, second, right),
    ]
    for wait in reversed(waits):
        wait()
    found["from the left"], found["from the right"] = first, second
    if isinstance(on, MPICommunicator):  # as with tensors that the library cannot reach
        on._reachable = lambda tensor: False
        found["staged"] = on.sum(values(on.rank))
    found["gathered"] = on.gather({"rank": on.rank, "text": "ü" * 100 * on.rank})
    found["gathered nothing"] = on.gather(None)
    return found


def failure(on: Communicator) -> dict[str, object]:
    """The last rank reports a failure while the others wait for it."""
    if on.rank == on.size - 1:
        first = on.report_failure("the cause, on grounds of ε")
        if isinstance(on, TorchCommunicator):
            on.close()  # breaks the collectives of the others, as its end would
        return {"first": first}
    begun, broken = time.monotonic(), False
    try:
        on.sum(values(on.rank))
    except CommunicationError:
        broken = True
    reported = on.reported_failure(wait=5.0)
    if isinstance(on, TorchCommunicator):
        on.close()  # a third rank may wait for this one, not for the one that failed
    return {"broken": broken, "reported": reported, "seconds": time.monotonic() - begun}


def contest(on: Communicator) -> dict[str, object]:
    """All ranks report at once."""
    on.gather(None)
    return {"first": on.report_failure(f"rank {on.rank}")}


def connect_late(seconds: float) -> list[float]:
    """Make the connection of this process take longer; when it was connected, once it is."""
    connect, connected = dist.init_process_group, []

    def late(*arguments: object, **options: object) -> None:
        connect(*arguments, **options)
        time.sleep(seconds)
        connected.append(time.monotonic())

    dist.init_process_group = late
    return connected


def save(found: dict[str, object], result: str, on: Communicator, together: bool) -> None:
    """Write RESULT-rank.pt; `together` returns once all ranks have: the launcher ends all as soon
    as one leaves."""
    files = [Path(f"{result}-{rank}.pt") for rank in range(on.size)]
    unfinished = files[on.rank].with_suffix(".part")
    torch.save(found, unfinished)
    unfinished.rename(files[on.rank])
    end = time.monotonic() + 60.0
    while together and not all(map(Path.exists, files)) and time.monotonic() < end:
        time.sleep(0.05)


if __name__ == "__main__":
    connected = connect_late(0.5 if os.environ.get("RANK") == "1" else 0.0)
    part = {"collectives": collectives, "failure": failure, "contest": contest}[sys.argv[3]]
    with distributed("cpu", sys.argv[2]) as communicator:
        found = {"begun": time.monotonic(), "connected": connected}
        found |= {"kind": type(communicator).__name__, "capturable": communicator.capturable}
        found |= part(communicator)
        save(found, sys.argv[1], communicator, together=part is not collectives)
        if part is not collectives:
            communicator.abort(3)
