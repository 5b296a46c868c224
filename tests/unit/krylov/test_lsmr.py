"""LSMR against dense least squares, scipy's, and what it claims of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hpc_wgf import InputError
from hpc_wgf.krylov import DenseOperator, Status, lsmr, minres

ROWS, COLUMNS = 90, 40


@dataclass
class Dense:
    """A matrix in full; counts its products."""

    matrix: Tensor
    products: list[int] = field(default_factory=lambda: [0, 0])

    def matvec(self, v: Tensor) -> Tensor:
        self.products[0] += 1
        return self.matrix @ v

    def rmatvec(self, u: Tensor) -> Tensor:
        self.products[1] += 1
        return self.matrix.T @ u

    def norm(self, u: Tensor) -> Tensor:
        return u.double().norm()


class TwoRanks(Dense):
    """The same matrix in two halves, each with its own products, sums and norms."""

    def halves(self) -> tuple[Tensor, ...]:
        return self.matrix.split(self.matrix.shape[0] // 2)

    def matvec(self, v: Tensor) -> Tensor:
        return torch.stack([half @ v for half in self.halves()])  # rows as (2, n/2)

    def rmatvec(self, u: Tensor) -> Tensor:
        return sum(half.T @ part for half, part in zip(self.halves(), u, strict=True))

    def norm(self, u: Tensor) -> Tensor:
        return sum(part.double().square().sum() for part in u).sqrt()


@dataclass(frozen=True)
class Split:
    """L as a triangular matrix."""

    factor: Tensor

    def solve_upper(self, v: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor.T, v[:, None], upper=True)[:, 0]

    def solve_lower(self, v: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor, v[:, None], upper=False)[:, 0]


def system(name: str, seed: int = 0, decades: float = 2.0) -> tuple[Tensor, Tensor]:
    """A = U diag(s) Vᵀ, of full or of half the rank, and a right-hand side in or out of range."""
    generator = torch.Generator().manual_seed(seed)
    U, _ = torch.linalg.qr(torch.randn(ROWS, COLUMNS, generator=generator))
    V, _ = torch.linalg.qr(torch.randn(COLUMNS, COLUMNS, generator=generator))
    values = torch.logspace(0, -decades, COLUMNS)
    if "singular" in name:
        values = torch.where(torch.arange(COLUMNS) < COLUMNS // 2, values, 0.0)
    A = (U * values) @ V.T
    b = A @ torch.randn(COLUMNS, generator=generator)
    if "inconsistent" in name:
        b = b + torch.randn(ROWS, generator=generator)
    return A, b


NAMES = ["full", "full inconsistent", "singular", "singular inconsistent"]


def expected(A: Tensor, b: Tensor, shift: float = 0.0) -> Tensor:
    """The minimiser of least norm, or that of ridge regression."""
    if shift == 0.0:
        return torch.linalg.lstsq(A, b[:, None], rcond=1e-8, driver="gelsd").solution[:, 0]
    return torch.linalg.solve(A.T @ A + shift * torch.eye(A.shape[1]), A.T @ b)


def true_residual(A: Tensor, x: Tensor, b: Tensor, shift: float = 0.0) -> float:
    return float((A.T @ (b - A @ x) - shift * x).norm() / (A.T @ b).norm())


def error_bound(A: Tensor, b: Tensor, rtol: float, shift: float) -> float:
    """‖x − x*‖ ≤ ‖(AᵀA + σ)⁺‖ ‖Aᵀr − σx‖, the residual being in the range of AᵀA."""
    values = torch.linalg.svdvals(A)
    return float(rtol * (A.T @ b).norm() / (values[values > 1e-8].min() ** 2 + shift))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", [0.0, 0.05])
@pytest.mark.parametrize("rtol", [1e-4, 1e-9])
def test_agrees_with_dense_least_squares(name, shift, rtol):
    """Of minimum norm where A is singular, of ridge regression where there is a shift."""
    A, b = system(name)
    x, stats = lsmr(Dense(A), b, rtol=rtol, shift=shift)
    assert stats.status is Status.CONVERGED
    assert true_residual(A, x, b, shift) <= rtol
    assert stats.true_residual == pytest.approx(true_residual(A, x, b, shift), rel=1e-5)
    bound = 1.1 * error_bound(A, b, rtol, shift)
    assert float((x - expected(A, b, shift)).norm()) <= bound


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", [0.0, 0.05])
@pytest.mark.parametrize("steps", [1, 5, 12])
def test_iterates_are_those_of_scipy(name, shift, steps):
    A, b = system(name)
    x, _ = lsmr(Dense(A), b, rtol=1e-14, shift=shift, max_steps=steps + 1)
    theirs = sparse_linalg.lsmr(
        A.numpy(), b.numpy(), damp=shift**0.5, atol=0, btol=0, conlim=0, maxiter=steps
    )[0]
    assert float((x - torch.from_numpy(theirs)).norm()) <= 1e-9 * float(x.norm())


def test_the_iterates_are_those_of_minres_on_the_normal_equations():
    """The same products to the same tolerance, up to the one that a check costs."""
    A, b = system("full")
    _, ours = lsmr(Dense(A), b, rtol=1e-4)
    _, theirs = minres(DenseOperator(A.T @ A), A.T @ b, rtol=1e-4)
    assert abs(ours.products - theirs.products) <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", [0.0, 1e-3])
def test_rows_of_two_ranks(name, shift):
    """Rows of another shape, summed from two halves, change the result by rounding only."""
    A, b = system(name, decades=0.5)
    x, stats = lsmr(Dense(A), b, rtol=1e-9, shift=shift)
    again, split = lsmr(TwoRanks(A), b.view(2, -1), rtol=1e-9, shift=shift)
    assert split.products == stats.products
    assert float((x - again).norm()) <= 1e-10 * float(x.norm())


@pytest.mark.parametrize("shift", [0.0, 1e-3])
def test_an_exact_preconditioner_needs_one_iteration(shift):
    A, b = system("full inconsistent", decades=3.0)
    factor = torch.linalg.cholesky(A.T @ A + shift * torch.eye(COLUMNS))
    x, stats = lsmr(Dense(A), b, rtol=1e-6, shift=shift, preconditioner=Split(factor))
    assert stats.status is Status.CONVERGED
    assert stats.products <= 3
    assert true_residual(A, x, b, shift) <= 1e-6


@pytest.mark.parametrize("seed", [0, 2, 6])
@pytest.mark.parametrize("shift", [0.0, 1e-3])
@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
def test_a_poor_preconditioner_costs_products_only(seed, shift, rtol):
    """The stop is on the true residual, not on that of a norm distorted by four decades, and
    that the two do not fall together is not taken for exhausted precision."""
    A, b = system("full inconsistent", seed)
    generator = torch.Generator().manual_seed(seed)
    diagonal = 10.0 ** (4 * torch.rand(COLUMNS, generator=generator))
    factor = torch.diag(diagonal) + torch.randn(COLUMNS, COLUMNS, generator=generator).tril(-1)
    poor = Split(factor)
    x, stats = lsmr(Dense(A), b, rtol=rtol, shift=shift, preconditioner=poor, max_steps=3000)
    assert stats.status is Status.CONVERGED
    assert true_residual(A, x, b, shift) <= rtol
    bound = 1.1 * error_bound(A, b, rtol, shift)
    assert float((x - expected(A, b, shift)).norm()) <= bound


def test_a_preconditioner_saves_products():
    A, b = system("full", decades=3.0)
    factor = torch.linalg.cholesky(A.T @ A + 1e-4 * torch.eye(COLUMNS))
    plain = lsmr(Dense(A), b, rtol=1e-8)[1]
    x, stats = lsmr(Dense(A), b, rtol=1e-8, preconditioner=Split(factor))
    assert stats.converged
    assert true_residual(A, x, b) <= 1e-8
    assert stats.products < 0.5 * plain.products


@pytest.mark.parametrize("name", ["zero", "orthogonal"])
def test_zero_right_hand_side(name):
    """b = 0, and b ≠ 0 with Aᵀb = 0 exactly."""
    A, b = torch.zeros(6, 3), torch.zeros(6)
    A[:3] = torch.eye(3)
    if name == "orthogonal":
        b[4] = 1.0
    x, stats = lsmr(Dense(A), b, shift=0.1)
    assert stats.status is Status.ZERO_RIGHT_HAND_SIDE
    assert stats.products == 0
    assert not x.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("check_every", [1, 7])
def test_exhausted_krylov_space(check_every, dtype):
    """For orthonormal columns one step is enough; further steps must change nothing."""
    A, b = system("full inconsistent", decades=0.0)
    x, stats = lsmr(Dense(A.to(dtype)), b.to(dtype), rtol=2e-6, check_every=check_every)
    assert stats.converged
    assert stats.products == check_every + 1
    assert float((x - A.T @ b).norm()) <= 10 * torch.finfo(dtype).eps * float(x.norm())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("decades", [0.0, 1.0])
@pytest.mark.parametrize("name", ["singular", "singular inconsistent"])
def test_does_not_run_away_along_the_null_space(name, decades, dtype):
    """Long past convergence the iterate once grew by 10⁷, on rounding noise in the null space."""
    A, b = system(name, decades=decades)
    x, stats = lsmr(Dense(A.to(dtype)), b.to(dtype), rtol=4e-6, check_every=300, max_steps=400)
    assert stats.converged
    error = float((x - expected(A, b)).norm() / x.norm())
    assert error <= 100 * torch.finfo(dtype).eps


@pytest.mark.parametrize("check_every", [1, 5])
def test_stops_at_max_steps_and_counts_products(check_every):
    A, b = system("full")
    operator = Dense(A)
    x, stats = lsmr(operator, b, rtol=1e-10, max_steps=12, check_every=check_every)
    assert stats.status is Status.MAX_STEPS
    assert operator.products == [stats.products, stats.products + 1]  # and Aᵀb
    assert stats.products == 12
    assert stats.true_residual == pytest.approx(true_residual(A, x, b), rel=1e-6)


def test_reads_nothing_back_to_the_host_but_at_checks():
    class HostReads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    A, b = system("full inconsistent")
    counts = []
    for steps in (30, 60):
        with HostReads() as reads:
            lsmr(Dense(A), b, rtol=1e-12, max_steps=steps + 1, check_every=30, shift=1e-4)
        counts.append(reads.count)
    assert counts[1] - counts[0] <= 4


@pytest.mark.parametrize("place", ["matrix", "right-hand side", "late"])
def test_not_finite_is_reported(place):
    A, b = system("full")
    operator = Dense(A)
    if place == "matrix":
        operator = Dense(A * np.nan)
    elif place == "right-hand side":
        b[3] = np.inf
    else:
        operator.rmatvec = lambda u: A.T @ u * (np.nan if operator.products[0] > 4 else 1.0)
    _, stats = lsmr(operator, b, rtol=1e-10)
    assert stats.status is Status.NOT_FINITE
    assert stats.products <= 6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rtol", [1e-3, 1e-4, 2e-6])
def test_float32_claims_no_more_than_it_has(name, rtol):
    A, b = system(name)
    A32, b32 = A.float(), b.float()
    x, stats = lsmr(Dense(A32), b32, rtol=rtol, max_steps=3000)
    recomputed = true_residual(A32.double(), x.double(), b32.double())
    floor = 1e-7 * float(b.norm() / (A.T @ b).norm())
    assert stats.true_residual == pytest.approx(recomputed, rel=0.2, abs=floor)
    assert not (stats.converged and recomputed > rtol + floor)
    if rtol >= 1e-4:
        assert stats.converged


@pytest.mark.parametrize("seed", [0, 1])
def test_float32_says_so_when_precision_is_exhausted(seed):
    """b all but orthogonal to the range: rounding in r leaves more of Aᵀr than is asked for."""
    A, b = system("full", seed)
    r = torch.randn(ROWS)
    b = 1e-3 * b + r - A @ expected(A, r)
    x, stats = lsmr(Dense(A.float()), b.float(), rtol=2e-6, max_steps=3000)
    recomputed = true_residual(A.float().double(), x.double(), b.float().double())
    assert stats.status is Status.STAGNATED
    assert 2e-6 < 0.5 * recomputed < stats.true_residual < 2 * recomputed
    assert stats.products < 400


def test_products_less_exact_than_the_vectors_are_found_out():
    """Float32 products of float64 vectors: the recurrence goes on where the residual does not."""

    class Rounded(Dense):
        def matvec(self, v: Tensor) -> Tensor:
            return super().matvec(v).float().double()

    A, b = system("full")
    x, stats = lsmr(Rounded(A), b, rtol=1e-10)
    assert stats.status is Status.STAGNATED
    assert stats.claimed_residual <= 1e-10 < 1e-9 < true_residual(A, x, b)
    assert stats.products < 250  # 325 where the recurrence is followed to its own floor


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_less_is_lost_than_by_minres_on_the_normal_equations(seed):
    """κ = 3000 in float32: AᵀA has lost what A still knows."""

    class Normal:
        def matvec(self, v: Tensor) -> Tensor:
            return A.T @ (A @ v)

    A, b = system("full inconsistent", seed, decades=3.5)
    A, b = A.float(), b.float()
    best = expected(A.double(), b.double())
    x, _ = lsmr(Dense(A), b, rtol=1e-5, max_steps=3000)
    y, _ = minres(Normal(), A.T @ b, rtol=1e-5, max_steps=3000)
    errors = [float((z - best).norm() / best.norm()) for z in (x, y)]
    assert errors[0] < 0.01 < 0.1 < errors[1]


def test_the_right_hand_side_is_left_alone():
    A, b = system("full inconsistent")
    before = b.clone()
    lsmr(Dense(A), b)
    assert torch.equal(b, before)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-7), (torch.float64, 1e-15)])
def test_refuses_tolerances_below_precision(dtype, rtol):
    with pytest.raises(InputError, match="below what"):
        lsmr(Dense(torch.eye(3, dtype=dtype)), torch.ones(3, dtype=dtype), rtol=rtol)


@pytest.mark.parametrize(
    ("options", "message"), [({"shift": -1.0}, "shift"), ({"max_steps": 1}, "max_steps")]
)
def test_refuses_what_makes_no_sense(options, message):
    with pytest.raises(InputError, match=message):
        lsmr(Dense(torch.eye(3)), torch.ones(3), **options)
