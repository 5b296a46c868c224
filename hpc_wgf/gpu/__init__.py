"""Kernels for CUDA devices, written in Triton, and whether they are used: on such a device, where
Triton is installed and works. Nothing here imports Triton before a first kernel is wanted."""

from .availability import usable
from .kernels import (
    LARGEST_INVERSE,
    LinearizedBlock,
    LinearizedChain,
    gram,
    inverses,
    sum_of_products,
    uniforms,
)

__all__ = [
    "LARGEST_INVERSE",
    "LinearizedBlock",
    "LinearizedChain",
    "gram",
    "inverses",
    "sum_of_products",
    "uniforms",
    "usable",
]
