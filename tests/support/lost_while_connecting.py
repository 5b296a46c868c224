"""One of two ranks, of which the first is lost while the second begins to connect with it.

Usage: lost_while_connecting.py STORE_PORT. The ranks meet at a store of another process, as under
torchrun. Rank 0 has said where it listens, and ends before rank 1 calls there.
"""

from __future__ import annotations

import os
import threading
import time

import torch.distributed as dist

from hpc_wgf.parallel import distributed

rank = int(os.environ["RANK"])
connect = dist.init_process_group


def lost_or_late(*arguments, **options):
    if rank == 0:
        threading.Timer(1.0, os._exit, (9,)).start()
    else:
        time.sleep(3.0)
    return connect(*arguments, **options)


dist.init_process_group = lost_or_late
with distributed("cpu"):
    pass
