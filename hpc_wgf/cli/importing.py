"""Imports of what a run needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """A context for imports, in which the garbage collector rests: it would look at the objects of
    all modules again and again, of which none is garbage, a tenth of the seconds of torch.

    Nor does it look at them afterwards: as they are young then, its next rounds would begin with
    all of them, which takes a third of a second."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
