"""The random generators of many sample blocks, without the seconds that making each takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_Words = NDArray[np.uint32]
# M. E. O'Neill's seed_seq_fe as numpy.random.SeedSequence has it: a pool of four words.
_POOL = 4
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_L, _MIX_R = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)


def generators(before: tuple[int, ...], numbers: range) -> Iterator[np.random.Generator]:
    """For each of the numbers k in turn Generator(Philox(SeedSequence((*before, k)))), numbers
    below 2³². It is one generator, set anew: each serves until the next is asked for."""
    source = np.random.Philox(0)
    random = np.random.Generator(source)
    blank = np.zeros(4, np.uint64)
    for key in philox_keys(before, numbers):
        source.state = {
            "bit_generator": "Philox",
            "state": {"counter": blank, "key": key},
            "buffer": blank, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
        }  # fmt: skip
        yield random


def philox_keys(before: tuple[int, ...], numbers: range) -> NDArray[np.uint64]:
    """The keys of Philox(SeedSequence((*before, k))) for all numbers k, (n, 2)."""
    own = np.arange(numbers.start, numbers.stop, dtype=np.uint32)
    entropy = [np.full_like(own, word) for number in before for word in _words(number)]
    entropy += [own]
    hashed = _Hash(_INIT_A, _MULT_A)
    pool = [hashed(word) for word in entropy[:_POOL]]
    pool += [hashed(np.zeros_like(own)) for _ in range(_POOL - len(pool))]
    for source in range(_POOL):
        for place in range(_POOL):
            if source != place:
                pool[place] = _mixed(pool[place], hashed(pool[source]))
    for word in entropy[_POOL:]:
        for place in range(_POOL):
            pool[place] = _mixed(pool[place], hashed(word))
    out = _Hash(_INIT_B, _MULT_B)
    low, high, *others = (out(word).astype(np.uint64) for word in pool)
    return np.stack([low | high << np.uint64(32), others[0] | others[1] << np.uint64(32)], 1)


class _Hash:
    """A hash of words, whose constant changes with every call."""

    def __init__(self, constant: int, factor: int) -> None:
        self._constant, self._factor = constant, factor

    def __call__(self, words: _Words) -> _Words:
        words = words ^ np.uint32(self._constant)
        self._constant = self._constant * self._factor & 0xFFFFFFFF
        words = words * np.uint32(self._constant)
        return words ^ words >> np.uint32(16)


def _mixed(x: _Words, y: _Words) -> _Words:
    mixed = x * _MIX_L - y * _MIX_R
    return mixed ^ mixed >> np.uint32(16)


def _words(number: int) -> list[int]:
    """The digits of a number to the base 2³², the lowest first."""
    digits = [number & 0xFFFFFFFF]
    while number := number >> 32:
        digits.append(number & 0xFFFFFFFF)
    return digits
