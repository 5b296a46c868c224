"""Freed memory stays with the process."""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's mallopt
_LARGEST = 32 << 20  # bytes, the most to which glibc raises the first of them; the second is twice


def keep_freed_memory() -> None:
    """Let the allocator of the C library begin where its own rule ends up: arrays of at most 32 MiB
    are taken from memory that has been freed.

    glibc gives arrays of over 128 KiB, and what is free in a row beyond twice that, back to the
    system, and raises these limits by the sizes that it sees. Small runs, with some arrays of a
    megabyte at a time, would be given empty pages again and again, a third of the seconds of the
    error's estimate. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
