"""Runs that are resumed where rounding has learned other numbers from the same samples."""

from __future__ import annotations

import numpy as np
import pytest

import hpc_wgf as wgf

X = np.random.default_rng(0).standard_normal((300, 1))
DIFFERS = "what is learned from samples differs in rounding"


def warned(path, until, *, factor=1.0, resume=True):
    """What is said of the run at its begin."""
    target = wgf.SampleTarget(X)
    target.theta *= factor
    problem = wgf.Problem([wgf.PotentialEnergy(target), wgf.Entropy(1.0)], wgf.Gaussian(1), until)
    method = wgf.PWGFOptions(samples=100, step_size=0.05)
    output = wgf.Output(path, every=0.05, bound=False)
    return wgf.solve(problem, wgf.Affine(1), method, output, resume=resume).summary.start_warnings


@pytest.mark.filterwarnings("ignore::hpc_wgf.errors.WgfWarning")
def test_other_bits_are_told(tmp_path):
    path = tmp_path / "run"
    warned(path, 0.05, resume=False)
    assert not any(DIFFERS in line for line in warned(path, 0.1))
    (line,) = (line for line in warned(path, 0.15, factor=1 + 2e-16) if DIFFERS in line)
    assert "not bit for bit" in line
