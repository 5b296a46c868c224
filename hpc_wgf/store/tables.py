"""Arrays that grow by rows, of which many lie in one chunk: the last chunk is kept in memory, so
that none is read back to add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .chunk_files import ChunkFiles

Committed = Callable[[int, int], np.ndarray]


class GrowingTable:
    """An array (rows, …) to which rows are added at its end, in their order."""

    def __init__(self, files: ChunkFiles, committed: Committed) -> None:
        """`committed`: the rows from a first to before a last one, as they are stored."""
        self._files, self._committed = files, committed
        self._length = files.shape[0]
        self._chunk: Any = None
        self._number = -1

    def add(self, first: int, values: np.ndarray) -> None:
        """Rows from number `first`, (rows, …). Errors: `OSError`, `ValueError`."""
        while len(values):
            number, begin = divmod(first, self._length)
            count = min(len(values), self._length - begin)
            if number != self._number:
                self._chunk = np.full(self._files.shape, np.nan, self._files.dtype)
                if begin:
                    self._chunk[:begin] = self._committed(number * self._length, first)
                self._number = number
            self._chunk[begin : begin + count] = values[:count]
            self._files.write((number, *[0] * (self._chunk.ndim - 1)), self._chunk)
            first, values = first + count, values[count:]
