"""Numbered random numbers: a counter-based stream, the same on CPUs and GPUs and on any ranks.

Philox 4×32-10 (J. K. Salmon et al., SC'11, doi:10.1145/2063384.2063405) turns a counter of four
words of 32 bits and a key of two into four random words. Counter and key are made of the seed, the
purpose, the step, the number of the sample among those of all ranks, and the coordinate, so that
every uniform number has a counter of its own, whoever draws it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..gpu import availability, kernels

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_WORD = 0xFFFFFFFF
_BITS = {"method.seed": 64, "step, or a seed of new samples,": 32, "number of a sample": 56}


def uniforms(
    span: slice, coordinates: int, *, seed: int, purpose: int, step: int, device: torch.device
) -> Tensor:
    """The uniform numbers of the samples with the numbers in `span`, (n, coordinates) in float64:
    odd multiples of 2⁻⁵³ between 0 and 1, the same bits on every device.

    Counter: (number mod 2³², number div 2³² + 2²⁴ purpose, step, pair of coordinates); key: the
    seed. Two words make a number, by the 32 bits of the first and the upper 20 of the second.

    Errors: `InputError` for a seed of 64 bits or more, a step of 32, numbers of 56."""
    for (name, bits), value in zip(_BITS.items(), (seed, step, span.stop), strict=True):
        if value >> bits:
            raise InputError(
                f"a {name} of {value} does not fit the philox stream: give one from 0 to "
                f'2^{bits} - 1, or use method.stream = "numpy"'
            )
    if span.stop > span.start and availability.usable(device):
        return kernels.uniforms(
            span.start, span.stop - span.start, coordinates, seed, purpose, step, device
        )
    number = torch.arange(span.start, span.stop, device=device)[:, None]
    pair = torch.arange((coordinates + 1) // 2, device=device)
    counter = (
        number & _WORD,
        (number >> 32) + (purpose << 24),
        torch.full_like(pair, step),
        pair,
    )
    words = philox(counter, (seed & _WORD, seed >> 32))
    pairs = torch.stack([_uniform(*words[:2]), _uniform(*words[2:])], -1)
    return pairs.flatten(1)[:, :coordinates]


def philox(counter: Sequence[Tensor], key: tuple[int, int]) -> list[Tensor]:
    """The four random words of counters of four words, int64 tensors of shapes that broadcast, and
    a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # Products modulo 2⁶⁴, whose upper words are not signed once they are masked.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (p1 >> 32 & _WORD) ^ c1 ^ k0, p1 & _WORD
        c2, c3 = (p0 >> 32 & _WORD) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return [c0, c1, c2, c3]


def _uniform(high: Tensor, low: Tensor) -> Tensor:
    """(m + ½) 2⁻⁵², m of 52 bits: every step is exact."""
    return ((high << 20 | low >> 12).double() + 0.5) * 2.0**-52
