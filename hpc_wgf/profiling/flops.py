"""Floating-point operations of the matrix multiplications in one product Jᵀ(J v).

An (m, k) by (k, n) multiplication counts 2 m k n. Sums, derivatives of tanh and all elementwise
operations count nothing, nor does what an implementation computes beyond what the product needs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ..maps import BlockFlow, PlanarFlow, PushForward, ResidualPerceptron


def product_flops(map: PushForward, samples: int) -> float:
    """Operations of one product with Ĝ = JᵀJ/n on n = `samples` at fixed θ, activations being kept.

    Known for `ResidualPerceptron`, `BlockFlow` and `PlanarFlow`; `KeyError` for other maps.
    """
    return float(samples * _PER_SAMPLE[type(map)](map))


def perceptron_flops(map: ResidualPerceptron) -> int:
    """Σ_ℓ 8 w_ℓ w_{ℓ+1} − 4 w_0 w_1 operations a sample, w_ℓ the widths from d to d.

    Every layer multiplies a dWᵀ and da Wᵀ forwards, gᵀ a and g W backwards; the first layer has
    neither da Wᵀ nor g W.
    """
    widths = [map.dimension, *(W.shape[0] for W in map.weights)]
    pairs = [before * after for before, after in pairwise(widths)]
    return 8 * sum(pairs) - 4 * pairs[0]


def block_flops(map: BlockFlow) -> int:
    """12 h d operations a sample, h the width.

    Forwards x dWᵀ, a dUᵀ and (a' ∘ ds) Uᵀ are multiplied, backwards u U, gᵀ x and uᵀ a.
    """
    return 12 * map.W.numel()


def planar_flops(map: PlanarFlow) -> int:
    """16 K d − 4 d operations a sample, K the number of layers, one layer after another.

    Every layer multiplies x·dw, dx·w, a du and (a' ds) u forwards and the transposes backwards; the
    first has neither dx·w nor its transpose. The matrix form of all layers at once takes more, for
    K(K−1)/2 couplings between layers, which are not counted here.
    """
    return 16 * map.W.numel() - 4 * map.dimension


_PER_SAMPLE: dict[type[PushForward], Callable[[Any], int]] = {
    ResidualPerceptron: perceptron_flops,
    BlockFlow: block_flops,
    PlanarFlow: planar_flops,
}
