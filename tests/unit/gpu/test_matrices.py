"""Inverses of small matrices by Triton's kernels: interpreted, against LAPACK."""

from __future__ import annotations

import math

import pytest
import torch
from kernels_on_cpu import interpreted

from hpc_wgf.gpu import inverses
from hpc_wgf.maps import elimination

MOST = 16.0


def assert_as_lapack(given: torch.Tensor, most: float = MOST) -> None:
    """The backward error of the inverse as small as LAPACK's own, up to a factor."""
    whole = given.permute(2, 0, 1)
    expected_sign, expected_log = torch.linalg.slogdet(whole)
    with interpreted():
        found, log_abs, sign = inverses(given, most)
        _, log_alone, sign_alone = inverses(given, most, wanted=False)
    assert torch.equal(sign, expected_sign)
    assert torch.equal(sign, sign_alone)
    assert torch.equal(log_abs, log_alone)
    assert torch.allclose(log_abs, expected_log, rtol=1e-10, atol=1e-10)
    expected = torch.linalg.inv(whole).permute(1, 2, 0)
    scale = expected.norm(dim=(0, 1))
    error = (found - expected).norm(dim=(0, 1)) / scale
    assert (error <= 1e-13 * given.norm(dim=(0, 1)) * scale).all()


@pytest.mark.parametrize("k", [1, 2, 5, 15])
def test_near_the_identity(k):
    assert_as_lapack(torch.eye(k)[:, :, None] + 0.5 * torch.randn(k, k, 13) / k**0.5)


@pytest.mark.parametrize("k", [2, 5, 15])
def test_anything_goes(k):
    """Far from the identity, where pivots have to be exchanged; whatever the order in memory."""
    given = torch.randn(k, k, 150 // k)
    assert_as_lapack(given)
    assert_as_lapack(given.permute(2, 1, 0).contiguous().permute(2, 1, 0))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_marks_are_what_makes_them_right():
    given = torch.tensor([[1e-17, 1.0], [1.0, 1.0]])[:, :, None].repeat(1, 1, 3)
    given[:, :, 1] = torch.eye(2)
    assert_as_lapack(given)
    with interpreted():
        found = inverses(given, float("inf"))[0]
    assert not torch.allclose(found[:, :, 0], torch.linalg.inv(given[:, :, 0]), rtol=1e-3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_large_determinants_are_not_lost():
    given = 1e200 * torch.eye(3)[:, :, None].repeat(1, 1, 2)
    with interpreted():
        _, log_abs, sign = inverses(given, MOST)
    assert torch.allclose(log_abs, torch.full((2,), 600 * math.log(10)))
    assert (sign == 1).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_determinant_of_nothing_is_not_positive():
    given = torch.stack([torch.zeros(2, 2), torch.full((2, 2), torch.nan), torch.eye(2)], 2)
    with interpreted():
        found, log_abs, sign = inverses(given, MOST)
    assert (sign > 0).tolist() == [False, False, True]
    assert float(log_abs[0]) == -torch.inf
    assert bool(log_abs[1].isnan())
    assert torch.equal(found[:, :, 2], torch.eye(2))
    assert not found[:, :, :2].isfinite().any()


def test_maps_take_them_on_a_gpu(monkeypatch):
    given = torch.randn(3, 3, 50)
    expected = elimination.inverse(given), elimination.volume(given)
    monkeypatch.setattr(elimination, "_by_kernel", lambda matrices: True)
    with interpreted():
        found = elimination.inverse(given), elimination.volume(given)
    for ours, theirs in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert torch.allclose(ours.double(), theirs.double(), rtol=1e-9, atol=1e-9)
