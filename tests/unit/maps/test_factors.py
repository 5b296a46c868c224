"""One factorisation tells determinant, inverse and solutions."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.maps.factors import Factors


@pytest.mark.parametrize("stored", ["by rows", "by columns", "samples last"])
@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_they_are_those_of_the_matrices(k, stored):
    generator = torch.Generator().manual_seed(k)
    A = torch.randn(40, k, k, generator=generator)
    if stored == "by columns":
        A = A.mT.contiguous().mT
    elif stored == "samples last":
        A = A.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    right = torch.randn(40, k, 3, generator=generator)
    factors, (sign, log_abs) = Factors.of(A), torch.linalg.slogdet(A)
    assert (sign > 0).any()
    assert (sign < 0).any()
    found, positive = factors.log_abs, factors.positive
    assert torch.allclose(found, log_abs, rtol=1e-12, atol=1e-12)
    assert torch.equal(positive, sign > 0)
    eye = torch.eye(k).expand(40, k, k)
    assert torch.allclose(factors.inverse() @ A, eye, atol=1e-9)
    assert torch.allclose(A.mT @ factors.solve_transposed(right), right, atol=1e-9)


def test_a_determinant_of_nothing_is_not_positive():
    A = torch.stack([torch.zeros(2, 2), torch.full((2, 2), torch.nan), torch.eye(2)])
    factors = Factors.of(A)
    assert factors.positive.tolist() == [False, False, True]
    assert float(factors.log_abs[0]) == -torch.inf
