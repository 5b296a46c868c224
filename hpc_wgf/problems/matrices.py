"""Vectors and symmetric matrices in the short forms that users may give, checked and completed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError

MatrixLike = float | Sequence[float] | Sequence[Sequence[float]] | Tensor
"""A symmetric matrix: a number c for c·I, d numbers for a diagonal, or (d, d)."""
VectorLike = float | Sequence[float] | Tensor
"""A vector: a number for d equal entries, or (d,)."""
_ROUNDING = 1e-10


def vector(value: VectorLike, dimension: int, what: str) -> Tensor:
    """`value` as a tensor (d,) in float64; a single number stands for d equal entries.

    Errors: `InputError` for a dimension below 1, another shape, or entries that are not finite. It
    names the vector by `what`."""
    if not (isinstance(dimension, int) and dimension >= 1):
        raise InputError(f"the dimension must be a whole number from 1 on, got {dimension!r}")
    v = torch.as_tensor(value, dtype=torch.float64)
    if v.ndim == 0:
        v = v.expand(dimension).clone()
    if v.shape != (dimension,):
        raise InputError(
            f"{what} has shape {tuple(v.shape)} but the dimension is {dimension}: "
            f"give {dimension} numbers, or one for all"
        )
    if not bool(torch.isfinite(v).all()):
        raise InputError(f"{what} has entries that are not finite")
    return v


def centred(x: Tensor, centre: Tensor) -> Tensor:
    """x − c in the precision of x, (n, d), for a centre c, (d,) in float64, that is not rounded to
    it: far from the origin, ε|c| may be more than the spread of x."""
    return (x.double() - centre.to(x.device)).to(x.dtype)


def spd_matrix(value: MatrixLike, dimension: int, what: str) -> Tensor:
    """`value` as a symmetric positive definite matrix, (d, d) in float64.

    A number c stands for c·I, a vector for a diagonal matrix. An asymmetry of the size of rounding
    errors is removed.

    Errors: `InputError` for another shape, entries that are not finite, or a matrix that is not
    symmetric or not positive definite. It names the matrix by `what`."""
    m = torch.as_tensor(value, dtype=torch.float64)
    if m.ndim == 0:
        m = m * torch.eye(dimension, dtype=torch.float64)
    elif m.ndim == 1:
        m = torch.diag(m)
    if m.shape != (dimension, dimension):
        raise InputError(
            f"{what} has shape {tuple(m.shape)} but the dimension is {dimension}: give a number, "
            f"{dimension} diagonal entries, or a {dimension} × {dimension} matrix"
        )
    if not bool(torch.isfinite(m).all()):
        raise InputError(f"{what} has entries that are not finite")
    # Asymmetry is measured relative to the diagonal entries of its row and column: the small
    # entries of a product of matrices carry the rounding errors of the large ones.
    scale = m.diagonal().abs().sqrt()
    if bool(((m - m.T).abs() > _ROUNDING * torch.outer(scale, scale)).any()):
        raise InputError(
            f"{what} is not symmetric: its largest asymmetry is {float((m - m.T).abs().max()):.3g}"
        )
    m = 0.5 * (m + m.T)
    smallest = float(torch.linalg.eigvalsh(m)[0])
    if smallest <= 0:
        raise InputError(
            f"{what} is not positive definite: its smallest eigenvalue is {smallest:.6g}"
        )
    return m


def spd_function(matrix: Tensor, function: str) -> Tensor:
    """M^½ or M^{−½} of a symmetric positive definite matrix M, (d, d), for a `function` "sqrt" or
    "rsqrt"."""
    values, vectors = torch.linalg.eigh(matrix)
    roots = values.sqrt() if function == "sqrt" else values.rsqrt()
    return (vectors * roots) @ vectors.T


def random_spd(dimension: int, seed: int, smallest: float, largest: float) -> Tensor:
    """Q diag(λ) Qᵀ with a Haar-distributed orthogonal matrix Q and independent eigenvalues
    λᵢ ~ U[smallest, largest]: (d, d) in float64, determined by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    Q, R = torch.linalg.qr(normal)
    Q = Q * torch.sign(torch.diagonal(R))
    uniform = torch.rand(dimension, generator=generator, dtype=torch.float64)
    values = smallest + (largest - smallest) * uniform
    m = (Q * values) @ Q.T
    return 0.5 * (m + m.T)
