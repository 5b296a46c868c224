"""What all ranks decide alike because one of them says so."""

from __future__ import annotations

import torch

from .communicator import Communicator


def any_rank(communicator: Communicator, said: bool) -> bool:
    """Whether one of the ranks says so. Collective, one all-reduce."""
    votes = torch.tensor([float(said)], device=communicator.device)
    return bool(communicator.sum(votes) > 0)
