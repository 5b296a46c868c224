"""Symmetric matrices as users give them: checked, completed, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError

MatrixLike = float | Sequence[float] | Sequence[Sequence[float]] | Tensor
VectorLike = float | Sequence[float] | Tensor
_ROUNDING = 1e-10


def vector(value: VectorLike, dimension: int, what: str) -> Tensor:
    """(d,) in float64; a single number stands for d equal entries."""
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


def spd_matrix(value: MatrixLike, dimension: int, what: str) -> Tensor:
    """(d, d) symmetric positive definite, float64. A number c means c·I, a list its diagonal."""
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
    # In units of the axes: small entries of a product of matrices carry the rounding of large ones.
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
    """f(M) for symmetric positive definite M: `function` is "sqrt" or "rsqrt"."""
    values, vectors = torch.linalg.eigh(matrix)
    roots = values.sqrt() if function == "sqrt" else values.rsqrt()
    return (vectors * roots) @ vectors.T


def random_spd(dimension: int, seed: int, smallest: float, largest: float) -> Tensor:
    """Q diag(λ) Qᵀ with Haar-random Q and λ ~ U[smallest, largest], float64."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    Q, R = torch.linalg.qr(normal)
    Q = Q * torch.sign(torch.diagonal(R))
    uniform = torch.rand(dimension, generator=generator, dtype=torch.float64)
    values = smallest + (largest - smallest) * uniform
    m = (Q * values) @ Q.T
    return 0.5 * (m + m.T)
