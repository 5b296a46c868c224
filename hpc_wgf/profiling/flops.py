"""Floating-point operations of the matrix multiplications of one product Jᵀ(J v).

An (m, k) by (k, n) product counts 2 m k n; sums, slopes and everything elementwise count nothing,
and neither does what an implementation computes beyond what the product needs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ..maps import BlockFlow, PlanarFlow, PushForward, ResidualPerceptron


def product_flops(map: PushForward, samples: int) -> float:
    """Of one product with Ĝ on so many samples at fixed θ, all activations being known."""
    return float(samples * _PER_SAMPLE[type(map)](map))


def perceptron_flops(map: ResidualPerceptron) -> int:
    """Σ_ℓ 8 w_ℓ w_{ℓ+1} − 4 w_0 w_1 a sample, w the widths from d to d: every layer takes
    a dWᵀ and da Wᵀ forwards, gᵀ a and g W backwards, the first one no da Wᵀ and no g W."""
    widths = [map.dimension, *(W.shape[0] for W in map.weights)]
    pairs = [before * after for before, after in pairwise(widths)]
    return 8 * sum(pairs) - 4 * pairs[0]


def block_flops(map: BlockFlow) -> int:
    """12 h d a sample: x dWᵀ, a dUᵀ and (a' ∘ ds) Uᵀ forwards, u U, gᵀ x and uᵀ a backwards."""
    return 12 * map.W.numel()


def planar_flops(map: PlanarFlow) -> int:
    """16 K d − 4 d a sample, layer by layer: x·dw, dx·w, a du and (a' ds) u forwards, their
    transposes backwards, the first layer no dx·w and none back. In matrix form, all layers at
    once, there are more: the K(K−1)/2 couplings of the layers, which are not counted here."""
    return 16 * map.W.numel() - 4 * map.dimension


_PER_SAMPLE: dict[type[PushForward], Callable[[Any], int]] = {
    ResidualPerceptron: perceptron_flops,
    BlockFlow: block_flops,
    PlanarFlow: planar_flops,
}
