"""Wasserstein distances in one dimension."""

from __future__ import annotations

from torch import Tensor


def wasserstein_1d(x: Tensor, y: Tensor) -> Tensor:
    """W₂ of each marginal between two samples of one size: (E|x_(i) − y_(i)|²)^½, sorted.

    x, y: (n, d) → (d,), float64. Its sampling floor falls as n^{−1/2}.
    """
    x_sorted, y_sorted = x.double().sort(0).values, y.double().sort(0).values
    return (x_sorted - y_sorted).square().mean(0).sqrt()
