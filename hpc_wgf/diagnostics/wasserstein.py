"""Wasserstein distances in one dimension."""

from __future__ import annotations

from torch import Tensor


def wasserstein_1d(x: Tensor, y: Tensor) -> Tensor:
    """(1/n Σᵢ |x_(i) − y_(i)|²)^½ for each coordinate, x_(i) the i-th smallest value: W₂ of the
    marginals of two samples.

    The samples `x` and `y` are of one size, (n, d); the result is (d,) in float64. Even for two
    samples of one law it is positive, of order n^{−1/2}.
    """
    x_sorted, y_sorted = x.double().sort(0).values, y.double().sort(0).values
    return (x_sorted - y_sorted).square().mean(0).sqrt()
