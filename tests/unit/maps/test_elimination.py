"""Volumes and inverses of many small matrices against LAPACK's, one by one."""

from __future__ import annotations

import math

import pytest
import torch

from hpc_wgf.maps import elimination


def matrices(k: int, n: int = 300, spread: float = 0.5) -> torch.Tensor:
    """Near the identity, (k, k, n)."""
    return torch.eye(k)[:, :, None] + spread * torch.randn(k, k, n) / k**0.5


def assert_as_lapack(given: torch.Tensor) -> None:
    """Both functions against LAPACK; backward errors as small as its own, up to a factor."""
    whole = given.permute(2, 0, 1)
    sign, log_abs = torch.linalg.slogdet(whole)
    inverse, log_det, positive = elimination.inverse(given)
    for found_log, found_positive in ((log_det, positive), elimination.volume(given)):
        assert torch.equal(found_positive, sign > 0)
        assert torch.allclose(found_log, log_abs, rtol=1e-10, atol=1e-10, equal_nan=True)
    theirs = torch.linalg.inv_ex(whole).inverse
    sound = theirs.isfinite().flatten(1).all(1)
    found, theirs = inverse.permute(2, 0, 1)[sound], theirs[sound]
    scale = theirs.flatten(1).norm(dim=1)
    condition = whole[sound].flatten(1).norm(dim=1) * scale
    error = (found - theirs).flatten(1).norm(dim=1) / scale
    assert (error <= 1e-13 * condition).all()


@pytest.mark.parametrize("k", [1, 2, 3, 5, 15, 24, 25, 40])
def test_near_the_identity(k):
    assert_as_lapack(matrices(k))


@pytest.mark.parametrize("k", [2, 5, 15])
def test_anything_goes(k):
    """Far from the identity, half of them with a negative determinant."""
    assert_as_lapack(torch.randn(k, k, 1000))


def test_matrices_that_need_an_exchange_of_pivots():
    given = matrices(3, spread=0.1)
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    given[:, :, ::7] = turn[:, :, None]
    given[:, :, 3] = torch.tensor([[1e-12, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert_as_lapack(given)


def test_the_watch_is_what_makes_them_right(monkeypatch):
    monkeypatch.setattr(elimination, "_MOST_MULTIPLIED", float("inf"))
    given = torch.tensor([[1e-17, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[:, :, None]
    found = elimination.inverse(given)[0]
    assert not torch.allclose(found[:, :, 0], torch.linalg.inv(given[:, :, 0]), rtol=1e-3)


def test_singular_and_missing_ones_are_not_positive():
    given = matrices(3)
    given[:, :, 1] = 0.0
    given[:, :, 2] = torch.nan
    given[:, :, 4] = torch.ones(3, 3)
    inverse, log_det, positive = elimination.inverse(given)
    for found in (positive, elimination.volume(given)[1]):
        assert not found[[1, 2, 4]].any()
        assert found[[0, 3, 5]].all()
    assert log_det[1] == -torch.inf
    assert log_det[2].isnan()
    assert inverse[:, :, [0, 3, 5]].isfinite().all()


def test_large_determinants_do_not_leave_the_numbers():
    assert_as_lapack(1e40 * matrices(15, n=20))
    assert_as_lapack(1e-40 * matrices(15, n=20))


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_determinants_of_two_rows_beyond_the_numbers(size):
    given = matrices(2, n=20)
    inverse, log_det, positive = elimination.inverse(given)
    found = elimination.inverse(size * given)
    assert torch.allclose(found[0] * size, inverse, rtol=1e-12)
    for logs, signs in (found[1:], elimination.volume(size * given)):
        assert torch.allclose(logs, log_det + 2 * math.log(size), rtol=1e-12)
        assert torch.equal(signs, positive)


@pytest.mark.parametrize("k", [1, 2])
def test_nearly_singular_ones_are_as_exact_as_those_of_lapack(k):
    """det A is the difference of nearly equal numbers."""
    given = torch.randn(k, k, 1000)
    given[-1] = given[0] + 1e-4 * given[-1]
    assert_as_lapack(given)


@pytest.mark.parametrize("k", [2, 15])
def test_a_sample_has_the_same_bits_in_any_company(k):
    given = matrices(k, n=1000, spread=2.0)
    whole = elimination.inverse(given)
    for first, last in ((0, 1), (3, 10), (17, 1000), (500, 833)):
        some = elimination.inverse(given[:, :, first:last].contiguous())
        for part, every in zip(some, whole, strict=True):
            assert torch.equal(part, every[..., first:last])
