"""MINRES from a start."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.krylov import DenseOperator, Status, minres, minres_from

SIZE, RTOL, SHIFT = 80, 1e-6, 1e-3


class Counted(DenseOperator):
    """Counts its products."""

    products = 0

    def matvec(self, v):
        self.products += 1
        return super().matvec(v)


def system() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A of a thousandfold spectrum, b, and the solution of (A + σI) x = b."""
    torch.manual_seed(0)
    Q = torch.linalg.qr(torch.randn(SIZE, SIZE)).Q
    A = (Q * torch.logspace(0, -3, SIZE)) @ Q.T
    x = torch.randn(SIZE)
    return A, A @ x + SHIFT * x, x


@pytest.mark.parametrize("preconditioned", [False, True])
def test_a_near_start_saves_products_and_keeps_the_tolerance(preconditioned):
    A, b, x = system()
    M = torch.linalg.inv(A + 0.01 * torch.eye(SIZE))
    options = {"rtol": RTOL, "max_steps": 500, "shift": SHIFT}
    if preconditioned:
        options["preconditioner"] = M.mv
    near, counted = x + 1e-3 * torch.randn(SIZE), Counted(A)
    found, stats = minres_from(near, counted, b, **options)
    cold = minres(DenseOperator(A), b, **options)[1]
    assert stats.products == counted.products < cold.products
    residual = float((b - A @ found - SHIFT * found).norm() / b.norm())
    assert residual <= RTOL
    assert stats.true_residual == pytest.approx(residual, rel=1e-6)
    assert stats.converged


def test_a_start_within_the_tolerance_is_the_solution():
    A, b, x = system()
    found, stats = minres_from(x, DenseOperator(A), b, rtol=RTOL, max_steps=10, shift=SHIFT)
    assert torch.equal(found, x)
    assert found is not x
    assert (stats.status, stats.products) == (Status.CONVERGED, 1)
    zero = torch.zeros(SIZE)
    assert minres_from(zero, DenseOperator(A), zero, rtol=RTOL, max_steps=10)[1].products == 1


def test_a_far_start_is_forgotten():
    A, b, x = system()
    options = {"rtol": RTOL, "max_steps": 500, "shift": SHIFT}
    far, stats = minres_from(-x, DenseOperator(A), b, **options)
    cold, theirs = minres(DenseOperator(A), b, **options)
    assert torch.equal(far, cold)
    assert stats.products == theirs.products + 1


def test_products_are_at_most_those_allowed():
    A, b, x = system()
    counted = Counted(A)
    start = x + 0.1 * torch.randn(SIZE)
    found, stats = minres_from(start, counted, b, rtol=1e-12, max_steps=8, shift=SHIFT)
    assert stats.status is Status.MAX_STEPS
    assert stats.products == counted.products <= 8
    residual = float((b - A @ found - SHIFT * found).norm() / b.norm())
    assert stats.true_residual == pytest.approx(residual, rel=1e-6)
