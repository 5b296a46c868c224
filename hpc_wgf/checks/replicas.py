"""Checks that all ranks begin with the same parameters, stored state and stages."""

from __future__ import annotations

import hashlib

from torch import Tensor

from ..errors import InputError
from ..parallel import Communicator
from ..store import Checkpoint


def check_same_everywhere(
    theta: Tensor, checkpoint: Checkpoint | None, communicator: Communicator
) -> None:
    """Errors: `InputError` on every rank unless all have the same initial parameters `theta`, (p,),
    and resume from the same `checkpoint`, or all from none. Collective; hashes are compared."""
    taken_up = hashlib.sha256()
    if checkpoint is not None:
        taken_up.update(repr((checkpoint.time, checkpoint.step, checkpoint.step_size)).encode())
        for array in (checkpoint.theta, *checkpoint.memory.values()):
            taken_up.update(array.tobytes())
    found = communicator.gather((_hash(theta), taken_up.hexdigest()))
    if len({each for each, _ in found}) > 1:
        raise InputError(
            "the ranks start from different parameters: seed the random numbers that "
            "initialise the map, the same on every rank"
        )
    if len({each for _, each in found}) > 1:
        raise InputError(
            "the ranks do not find the same row or checkpoint in the store: the file system shows "
            "some of them an older state. Resume again"
        )


def check_same_stage(decided: tuple[str, Tensor] | None, communicator: Communicator) -> None:
    """Errors: `InputError` on every rank unless all begin a stage with the same map, as `described`
    says it, and the same initial parameters, (p,), or all begin none. Collective."""
    own = None if decided is None else (decided[0], _hash(decided[1]))
    if len(set(communicator.gather(own))) > 1:
        raise InputError(
            "the ranks do not begin the same stage: staging must decide on numbers that are the "
            "same on all ranks, and seed the random numbers that initialise its map"
        )


def _hash(theta: Tensor) -> str:
    return hashlib.sha256(theta.cpu().numpy().tobytes()).hexdigest()
