"""MINRES against scipy's and against what it claims of itself."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg
import torch

from hpc_wgf import InputError
from hpc_wgf.krylov import DenseOperator, Iteration, Status, minres
from hpc_wgf.krylov.on_host import hypotenuse

SIZE = 60


def spectrum(name: str) -> torch.Tensor:
    decay = torch.logspace(0, -3, SIZE)
    half = torch.arange(SIZE) < SIZE // 2
    return {
        "definite": decay,
        "singular": torch.where(half, decay, 0.0),
        "indefinite": torch.where(half, decay, -decay),
    }[name]


def system(name: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A = Q diag(λ) Qᵀ and a consistent right-hand side."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator))
    A = (Q * spectrum(name)) @ Q.T
    return 0.5 * (A + A.T), A @ torch.randn(SIZE, generator=generator)


def true_residual(A: torch.Tensor, x: torch.Tensor, b: torch.Tensor, shift: float = 0.0) -> float:
    return float((b - A @ x - shift * x).norm() / b.norm())


@pytest.mark.parametrize("name", ["definite", "singular", "indefinite"])
@pytest.mark.parametrize("shift", [0.0, 0.05])
@pytest.mark.parametrize("rtol", [1e-4, 1e-9])
def test_agrees_with_scipy(name, shift, rtol):
    A, b = system(name)
    x, stats = minres(DenseOperator(A), b, rtol=rtol, shift=shift)
    theirs, info = sparse_linalg.minres(
        A.numpy(), b.numpy(), rtol=1e-13, maxiter=5000, shift=-shift
    )
    assert info == 0
    assert stats.converged
    assert true_residual(A, x, b, shift) <= rtol
    assert stats.true_residual == pytest.approx(true_residual(A, x, b, shift), rel=1e-6)
    # ‖x − x*‖ ≤ ‖A⁺‖ ‖r‖ with the smallest nonzero |λ + σ|.
    values = spectrum(name) + shift
    smallest = float(values.abs()[values.abs() > 1e-12].min())
    assert float((x - torch.from_numpy(theirs)).norm()) <= 1.1 * rtol * float(b.norm()) / smallest


@pytest.mark.parametrize("name", ["definite", "singular", "indefinite"])
def test_preconditioned(name):
    """The stop is on the true residual, not on that of the preconditioned norm."""
    A, b = system(name)
    values, vectors = torch.linalg.eigh(A)
    M_inverse = (vectors / (values.abs() + 1e-2)) @ vectors.T
    plain = minres(DenseOperator(A), b, rtol=1e-8)[1]
    x, stats = minres(DenseOperator(A), b, rtol=1e-8, preconditioner=lambda v: M_inverse @ v)
    assert stats.converged
    assert true_residual(A, x, b) <= 1e-8
    assert stats.products < plain.products


def test_singular_gives_the_minimum_norm_solution():
    A, b = system("singular")
    x, _ = minres(DenseOperator(A), b, rtol=1e-11)
    expected = torch.linalg.pinv(A, rtol=1e-8, hermitian=True) @ b
    assert float((x - expected).norm() / expected.norm()) < 1e-7


def test_zero_right_hand_side():
    A, b = system("singular")
    x, stats = minres(DenseOperator(A), torch.zeros_like(b))
    assert stats.status is Status.ZERO_RIGHT_HAND_SIDE
    assert stats.products == 0
    assert not x.any()


@pytest.mark.parametrize("check_every", [1, 7])
def test_exhausted_krylov_space(check_every):
    """For A = I the space is exhausted after one step; further steps must change nothing."""
    b = torch.randn(SIZE)
    x, stats = minres(DenseOperator(torch.eye(SIZE)), b, rtol=1e-12, check_every=check_every)
    assert stats.converged
    assert torch.allclose(x, b, rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_inconsistent_ends_at_least_squares(dtype):
    """A right-hand side out of range once let the iterate run away along the null space."""
    A, b = system("singular")
    b = b + torch.randn(SIZE)
    x, stats = minres(DenseOperator(A.to(dtype)), b.to(dtype), rtol=1e-5, max_steps=3000)
    best = A @ (torch.linalg.pinv(A, rtol=1e-8, hermitian=True) @ b) - b
    assert stats.status is Status.LEAST_SQUARES
    assert float((b - A @ x.double()).norm()) <= 1.01 * float(best.norm())


@pytest.mark.parametrize("name", ["definite", "singular", "indefinite"])
@pytest.mark.parametrize("rtol", [1e-3, 1e-5, 2e-6])
def test_float32_claims_no_more_than_it_has(name, rtol):
    """The recurrence alone claimed 1e-5 where the recomputed residual was 5e-3."""
    A, b = system(name)
    A32, b32 = A.float(), b.float()
    x, stats = minres(DenseOperator(A32), b32, rtol=rtol, max_steps=3000)
    recomputed = true_residual(A32.double(), x.double(), b32.double())
    assert stats.true_residual == pytest.approx(recomputed, rel=0.2, abs=3e-7)
    assert not (stats.converged and recomputed > rtol + 3e-7)
    if rtol >= 1e-5:
        assert stats.converged


@pytest.mark.parametrize("seed", [0, 1])
def test_float32_says_so_when_precision_is_exhausted(seed):
    """Eigenvalues over five magnitudes: the recurrence claims 1e-3 where 0.08 or more is left."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator))
    A = ((Q * torch.logspace(0, -5, SIZE)) @ Q.T).float()
    b = torch.randn(SIZE, generator=generator).float()
    x, stats = minres(DenseOperator(A), b, rtol=1e-3, max_steps=2000)
    recomputed = true_residual(A.double(), x.double(), b.double())
    assert stats.status is Status.STAGNATED
    assert not stats.converged
    assert stats.claimed_residual < 1e-3 < 0.05 < recomputed
    assert stats.true_residual == pytest.approx(recomputed, rel=1e-2)


def test_stops_at_max_steps_and_counts_products():
    A, b = system("definite")
    seen = 0

    class Counting(DenseOperator):
        def matvec(self, v):
            nonlocal seen
            seen += 1
            return super().matvec(v)

    _, stats = minres(Counting(A), b, rtol=1e-10, max_steps=10)
    assert stats.status is Status.MAX_STEPS
    assert stats.products == seen <= 10


def test_not_finite_is_reported():
    A, b = system("definite")
    _, stats = minres(DenseOperator(A * np.nan), b)
    assert stats.status is Status.NOT_FINITE


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-7), (torch.float64, 1e-15)])
def test_refuses_tolerances_below_precision(dtype, rtol):
    with pytest.raises(InputError, match="below what"):
        minres(DenseOperator(torch.eye(3, dtype=dtype)), torch.ones(3, dtype=dtype), rtol=rtol)


@pytest.mark.parametrize("name", ["definite", "singular", "indefinite"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_numbers_on_the_host_and_scalars_of_a_device_give_the_same_bits(name, dtype, shift):
    """A run's bits must not depend on where the scalars of the recurrences are kept."""
    A, b = (each.to(dtype) for each in system(name))
    preconditioner = None
    if name == "definite":
        inverse = torch.linalg.inv(A.double() + 0.1 * torch.eye(SIZE).double()).to(dtype)
        preconditioner = (0.5 * (inverse + inverse.T)).__matmul__
    operator = DenseOperator(A)
    options = {"rtol": 1e-5, "shift": shift, "preconditioner": preconditioner}
    x, stats = minres(operator, b, **options)
    on_device = Iteration(operator, b, preconditioner)
    same, others = minres(operator, b, **options, iteration=on_device)
    assert torch.equal(x, same)
    assert stats == others
    assert stats.products > 2


def test_the_hypotenuse_of_two_numbers_has_the_bits_of_torch():
    """That of Python differed once in a thousand numbers, and the bits of one run in six."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(5000, 2, generator=generator, dtype=torch.float64)
    expected = [float(torch.hypot(*pair.clone())) for pair in pairs]
    assert [hypotenuse(*pair) for pair in pairs.tolist()] == expected


def test_coefficients_beyond_single_precision_end_a_solve_as_on_a_device():
    """torch refuses to multiply numbers of single precision by them."""
    generator = torch.Generator().manual_seed(0)
    B = torch.randn(SIZE, SIZE, generator=generator)
    A = DenseOperator((1e38 / 50 * (B @ B.T)).float())
    b = torch.randn(SIZE, generator=generator).float()
    ends = [minres(A, b, rtol=1e-3, iteration=given)[1] for given in (None, Iteration(A, b))]
    assert ends[0].status == ends[1].status
    assert ends[0].products == ends[1].products
