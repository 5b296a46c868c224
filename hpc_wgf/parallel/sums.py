"""Sums along a binary tree: the same order of addition on any power of two of ranks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def tree_sum(parts: list[Tensor]) -> Tensor:
    """Σ parts along a binary tree: first neighbours are added, then neighbouring pairs, and so on.

    `parts`: at least one tensor, all of the same shape.
    """
    while len(parts) > 1:
        pairs = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(parts) & ~1 :]
    return parts[0]


class TreeSum:
    """`tree_sum` of parts that arrive one by one, of which about log₂ of their number are kept.

    For a power of two of parts the result equals that of `tree_sum` to the bit, even where two
    subtrees arrive in exchanged order.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Tensor]] = []  # (level, sum of 2^level parts)

    def add(self, part: Tensor) -> None:
        """Take in the next part; all parts have the same shape."""
        level = 0
        while self._waiting and self._waiting[-1][0] == level:
            part = self._waiting.pop()[1] + part
            level += 1
        self._waiting.append((level, part))

    def total(self) -> Tensor:
        """The sum of all parts so far, of which there must be one."""
        result = self._waiting[-1][1]
        for _, part in reversed(self._waiting[:-1]):
            result = part + result
        return result


class TreeBuffers:
    """`TreeSum` of parts that are written into buffers, which serve one sum after another.

    For 2^k parts, k + 1 buffers are needed. `allocate`: returns a new buffer; all have one shape.
    """

    def __init__(self, allocate: Callable[[], Tensor]) -> None:
        self._allocate = allocate
        self._buffers: list[Tensor] = []
        self._levels: list[int] = []  # buffer k holds the sum of 2^level parts

    def restart(self) -> None:
        """Begin a new sum, also where the one before was broken off."""
        self._levels.clear()

    def next(self) -> Tensor:
        """The buffer into which the next part is to be written, before `add` is called."""
        if len(self._levels) == len(self._buffers):
            self._buffers.append(self._allocate())
        return self._buffers[len(self._levels)]

    def add(self) -> None:
        """Take in the part that has been written into the buffer of `next`."""
        self._levels.append(0)
        while len(self._levels) > 1 and self._levels[-1] == self._levels[-2]:
            self._fold()
            self._levels[-1] += 1

    def total(self) -> Tensor:
        """The sum of all parts, in a buffer that the next sum overwrites; begins a new sum."""
        while len(self._levels) > 1:
            self._fold()
        self._levels.clear()
        return self._buffers[0]

    def _fold(self) -> None:
        self._levels.pop()
        left = len(self._levels) - 1
        self._buffers[left].add_(self._buffers[left + 1])
