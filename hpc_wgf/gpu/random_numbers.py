"""The counter-based uniform numbers of `parallel.philox` as a Triton kernel."""

# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def"
from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 256  # pairs of coordinates of a program


@triton.jit(do_not_specialize=["begin", "count", "pairs", "coordinates", "key_low", "key_high",
                               "purpose", "step"])  # fmt: skip
def uniform_kernel(
    out,
    begin: tl.int64,
    count: tl.int64,
    pairs: tl.int64,
    coordinates: tl.int64,
    key_low: tl.int64,
    key_high: tl.int64,
    purpose: tl.int64,
    step: tl.int64,
    BLOCK: tl.constexpr,
):
    """`out`: (count, coordinates) in float64; `begin`: the number of its first sample."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, pair = place // pairs, place % pairs
    number = row + begin
    c0 = (number & 0xFFFFFFFF).to(tl.uint32)
    c1 = ((number >> 32) + (purpose << 24)).to(tl.uint32)
    c2 = (pair * 0 + step).to(tl.uint32)
    c3 = pair.to(tl.uint32)
    k0 = (pair * 0 + key_low).to(tl.uint32)
    k1 = (pair * 0 + key_high).to(tl.uint32)
    for _ in tl.static_range(10):
        p0 = c0.to(tl.uint64) * 0xD2511F53
        p1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = (p1 & 0xFFFFFFFF).to(tl.uint32)
        c3 = (p0 & 0xFFFFFFFF).to(tl.uint32)
        k0 = ((k0.to(tl.uint64) + 0x9E3779B9) & 0xFFFFFFFF).to(tl.uint32)
        k1 = ((k1.to(tl.uint64) + 0xBB67AE85) & 0xFFFFFFFF).to(tl.uint32)
    first = (c0.to(tl.int64) << 20) | (c1.to(tl.int64) >> 12)
    second = (c2.to(tl.int64) << 20) | (c3.to(tl.int64) >> 12)
    scale = 1.0 / (1 << 52)
    there = out + row * coordinates + 2 * pair
    known = row < count
    tl.store(there, (first.to(tl.float64) + 0.5) * scale, mask=known)
    tl.store(
        there + 1, (second.to(tl.float64) + 0.5) * scale, mask=known & (2 * pair + 1 < coordinates)
    )
