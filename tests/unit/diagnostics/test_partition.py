"""log Z by importance weights."""

from __future__ import annotations

import math

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.cloud import Cloud
from hpc_wgf.diagnostics.partition import partition
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.parallel import LocalCommunicator


def ensemble_of(x, log_weight=None):
    cloud = Cloud(x, x[:, 0], x, log_weight=log_weight)
    return Ensemble([cloud], [[len(x)]], LocalCommunicator())


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_log_z_of_a_gaussian_within_its_error(offset):
    """V = |x|²/2 + c from samples of N(0, 1.3 I) in the plane: log Z = log 2π − c. Some of them
    are not known, and their absence shifts nothing."""
    torch.manual_seed(0)
    x = 1.3**0.5 * torch.randn(20_000, 2, dtype=torch.float64)
    log_density = -x.square().sum(1) / 2.6 - math.log(2 * math.pi * 1.3)
    values = 0.5 * x.square().sum(1) + offset + log_density
    values[:100] = torch.nan
    mean = float(values[100:].mean())
    found = partition(values, 1.0, mean, ensemble_of(x))
    assert found.log_z == pytest.approx(math.log(2 * math.pi) - offset, abs=4 * found.error)
    assert found.error < 3e-3
    # E[w]²/E[w²] = (1.3² · (2/1 − 1/1.3))⁻¹ … in the plane (2a − 1)/a², a = 1.3
    assert found.effective / 19_900 == pytest.approx((2 * 1.3 - 1) / 1.3**2, rel=0.02)


def test_weights_of_the_samples_enter():
    """Samples of q = N(0, 2) weighted to ρ = N(0, 1), which is the target: Z is known exactly from
    every sample, and only the sampling of E[λ/q] = 1 is left."""
    torch.manual_seed(1)
    x = 2**0.5 * torch.randn(50_000, 1, dtype=torch.float64)
    log_q = -x[:, 0].square() / 4 - 0.5 * math.log(4 * math.pi)
    log_density = -x[:, 0].square() / 2 - 0.5 * math.log(2 * math.pi)
    values = 0.5 * x[:, 0].square() + log_density
    found = partition(values, 1.0, float(values.mean()), ensemble_of(x, log_density - log_q))
    assert found.log_z == pytest.approx(0.5 * math.log(2 * math.pi), abs=4 * found.error)
    assert 0 < found.error < 6e-3


def test_a_run_tells_it():
    summary = wgf.solve(*wgf.load_problem("ou-2d", "method.samples=2000")).summary
    problem = wgf.load_problem("ou-2d").problem
    exact = problem.log_partition()
    assert summary.log_z == pytest.approx(exact, abs=3 * summary.log_z_error)
    assert summary.log_z_error < 0.05
    assert 100 < summary.effective_samples <= 2000
    porous = wgf.solve(*wgf.load_problem("porous-2d", "problem.until=0.11")).summary
    assert (porous.log_z, porous.effective_samples) == (None, None)
