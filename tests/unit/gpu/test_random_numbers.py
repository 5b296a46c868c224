"""Triton's kernel of the counter-based stream, in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from kernels_on_cpu import interpreted

from hpc_wgf import gpu
from hpc_wgf.parallel import uniforms

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("begin", "count", "coordinates"), [(0, 37, 5), ((1 << 33) + 5, 64, 2), ((1 << 32) - 10, 40, 1)]
)
def test_the_integers_are_those_of_the_cpu(begin, count, coordinates):
    """Beyond 2³² too; numbers and hence words, of which they are exact images."""
    given = {"seed": (1 << 63) + 12345678901, "purpose": 5, "step": (1 << 32) - 3}
    expected = uniforms(slice(begin, begin + count), coordinates, **given, device=CPU)
    with interpreted():
        found = gpu.uniforms(begin, count, coordinates, *given.values(), CPU)
    assert torch.equal(found, expected)
