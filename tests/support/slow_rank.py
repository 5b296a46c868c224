"""Run on two ranks: the second one is late for one sum, and never comes to another.

Usage: slow_rank.py RESULT.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from hpc_wgf.errors import CommunicationError
from hpc_wgf.parallel import communicator_from_environment

_LATE, _GONE = 4.0, 10.0  # seconds

ranks = communicator_from_environment("cpu")
found: dict[str, object] = {}
begun = time.monotonic()
if ranks.rank == 1:
    time.sleep(_LATE)
found["sum"] = float(ranks.sum(torch.tensor([1.0 + ranks.rank])))
found["waited"] = time.monotonic() - begun
begun = time.monotonic()
if ranks.rank == 1:
    time.sleep(_GONE)
else:
    try:
        ranks.sum(torch.ones(1))
    except CommunicationError as error:
        found["error"] = str(error)
    found["gave_up_after"] = time.monotonic() - begun
Path(sys.argv[1]).write_text(json.dumps(found))
other = Path(sys.argv[1]).with_name("1.json")
while ranks.rank == 0 and not other.exists():  # Its watch would end the other for a lost rank.
    time.sleep(0.1)
os._exit(0)  # Nobody is left to part with.
