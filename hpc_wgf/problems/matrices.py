"""Vectors and symmetric matrices in the short forms that users may give, checked and kept.

A symmetric matrix M on ℝᵈ is a tensor of shape () for M = c·I, (d,) for a diagonal, or (d, d). It
stays in the form in which it was given, so that c·I takes no memory in any dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..constants import beside, like
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
    return (x.double() - beside(centre, x)).to(x.dtype)


def spd_matrix(value: MatrixLike, dimension: int, what: str) -> Tensor:
    """`value` as a symmetric positive definite matrix in float64, (), (d,) or (d, d) as given.

    An asymmetry of the size of rounding errors is removed.

    Errors: `InputError` for another shape, entries that are not finite, or a matrix that is not
    symmetric or not positive definite. It names the matrix by `what`."""
    m = torch.as_tensor(value, dtype=torch.float64)
    if m.shape not in ((), (dimension,), (dimension, dimension)):
        raise InputError(
            f"{what} has shape {tuple(m.shape)} but the dimension is {dimension}: give a number, "
            f"{dimension} diagonal entries, or a {dimension} × {dimension} matrix"
        )
    if not bool(torch.isfinite(m).all()):
        raise InputError(f"{what} has entries that are not finite")
    if m.ndim == 2:
        m = _symmetric(m, what)
    smallest = float(torch.linalg.eigvalsh(m)[0] if m.ndim == 2 else m.min())
    if smallest <= 0:
        raise InputError(
            f"{what} is not positive definite: its smallest eigenvalue is {smallest:.6g}"
        )
    return m


def _symmetric(m: Tensor, what: str) -> Tensor:
    """½(M + Mᵀ). Errors: `InputError` unless M is symmetric up to rounding errors."""
    # Asymmetry is measured relative to the diagonal entries of its row and column: the small
    # entries of a product of matrices carry the rounding errors of the large ones.
    scale = m.diagonal().abs().sqrt()
    if bool(((m - m.T).abs() > _ROUNDING * torch.outer(scale, scale)).any()):
        raise InputError(
            f"{what} is not symmetric: its largest asymmetry is {float((m - m.T).abs().max()):.3g}"
        )
    return 0.5 * (m + m.T)


def times(x: Tensor, m: Tensor) -> Tensor:
    """x M for rows `x`, (n, d) or (d,), in the precision of x."""
    return x @ like(m, x) if m.ndim == 2 else x * like(m, x)


def dense(m: Tensor, dimension: int) -> Tensor:
    """M written out, (d, d)."""
    return m if m.ndim == 2 else torch.diag(m.expand(dimension))


def diagonal_of(m: Tensor, dimension: int) -> Tensor | None:
    """The diagonal of M, (d,), or None if M is not diagonal."""
    if m.ndim < 2:
        return m.expand(dimension)
    return m.diagonal() if torch.equal(m, torch.diag(m.diagonal())) else None


def multiple_of_identity(m: Tensor, dimension: int) -> float | None:
    """c where M = c·I, else None."""
    diagonal = diagonal_of(m, dimension)
    if diagonal is None or bool((diagonal != diagonal[0]).any()):
        return None
    return float(diagonal[0])


def added(terms: Sequence[tuple[float, Tensor]], dimension: int) -> Tensor:
    """Σᵢ cᵢ Mᵢ of the pairs (cᵢ, Mᵢ), in the longest of their forms."""
    written_out = any(m.ndim == 2 for _, m in terms)
    total = torch.zeros((), dtype=torch.float64)
    for factor, m in terms:
        total = total + factor * (dense(m, dimension) if written_out else m)
    return total


def inverse(m: Tensor) -> Tensor:
    """M⁻¹."""
    return torch.linalg.inv(m) if m.ndim == 2 else 1 / m


def cholesky(m: Tensor) -> Tensor:
    """The lower triangular L with M = LLᵀ, for a positive definite M; in a short form L = M^½."""
    return torch.linalg.cholesky(m) if m.ndim == 2 else m.sqrt()


def cholesky_inverse(factor: Tensor) -> Tensor:
    """M⁻¹ = L⁻ᵀL⁻¹ from L."""
    return torch.cholesky_inverse(factor) if factor.ndim == 2 else (1 / factor).square()


def log_det(m: Tensor, dimension: int) -> float:
    """log det M for a positive definite M."""
    if m.ndim == 2:
        return float(torch.logdet(m))
    return float(m.expand(dimension).contiguous().log().sum())


class Spectrum:
    """The functions f(M) of a symmetric matrix M, from its eigenvalues."""

    def __init__(self, m: Tensor) -> None:
        self._vectors: Tensor | None = None
        self.values = m
        """Eigenvalues of M, (d,); () for c·I."""
        if m.ndim == 2:
            self.values, self._vectors = torch.linalg.eigh(0.5 * (m + m.T))

    def of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """f(M) for a `function` f of numbers, in the form of M."""
        values = function(self.values)
        if self._vectors is None:
            return values
        return (self._vectors * values) @ self._vectors.T


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
