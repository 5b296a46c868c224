"""What the start of a run does for its speed."""

from __future__ import annotations

import gc
import subprocess
import sys

from hpc_wgf.cli.importing import importing

_FAULTS = """
import resource
import numpy as np
from hpc_wgf.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        [np.ones(1 << 17) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {kept}:
    keep_freed_memory()
faults()
print(faults())
"""


def page_faults(*, kept: bool) -> int:
    program = _FAULTS.format(kept=kept)
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(told.stdout)


def test_arrays_of_a_megabyte_are_taken_from_memory_that_was_freed():
    """Small runs had as many page faults as arrays have pages, again and again."""
    assert page_faults(kept=True) < 200
    assert page_faults(kept=False) > 5000


def test_the_collector_does_not_look_at_what_has_been_imported():
    """Its first rounds took a third of a second, as all modules were young."""
    before = gc.get_freeze_count()
    with importing():
        kept = [[] for _ in range(100)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)
    gc.unfreeze()
