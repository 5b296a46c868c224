"""The elliptic inverse problem: a quadrature that converges, particles that approach it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hpc_wgf.errors import InputError
from hpc_wgf.references import elliptic
from hpc_wgf.references.__main__ import main


def test_the_force_is_the_gradient_of_the_misfit():
    u = np.array([-2.7, 104.3]) + np.random.default_rng(0).standard_normal((6, 2))
    for j, step in enumerate(1e-5 * np.eye(2)):
        slope = (elliptic.potential(u + step) - elliptic.potential(u - step)) / 2e-5
        assert np.allclose(elliptic.gradient(u)[:, j], slope, rtol=1e-6, atol=1e-3)


def test_the_posterior(tmp_path, capsys):
    """As another program found it on 1601² points."""
    main(["kalman-elliptic"], tmp_path)
    stored = np.load(tmp_path / "kalman-elliptic.npz")
    assert "log Z -56.918114" in capsys.readouterr().out
    assert np.allclose(stored["mean"], [-2.713848, 104.345758], atol=1e-6)
    expected = [[0.0129108, 0.0288241], [0.0288241, 0.0807812]]
    assert np.allclose(stored["covariance"], expected, atol=1e-7)
    assert stored["error"] < 1e-8


def test_a_gaussian_posterior_has_a_closed_form(monkeypatch):
    """Without the bend, |G| is linear in u₂ and u₁ keeps its prior."""
    monkeypatch.setattr(elliptic, "_misfit", lambda u: (u[:, 1:] * elliptic._PLACES - [1.0, 2.0],
                                                        0 * u))  # fmt: skip
    found = elliptic.posterior(801, (-75.0, 0.0), (75.0, 5.0))
    precision = (0.25**2 + 0.75**2) / 0.01 + 0.01
    assert np.allclose(found.covariance, np.diag([100.0, 1 / precision]), rtol=1e-9)
    assert found.mean[1] == pytest.approx((0.25 * 1 + 0.75 * 2) / 0.01 / precision, rel=1e-12)


def test_particles_keep_the_posterior_and_approach_it(tmp_path):
    """Moments at t = .1, .5 as other programs have them, and the error that is stored with them
    covers the difference of two seeds."""
    elliptic.store_langevin(tmp_path / "near.npz", (0.1, 0.5), particles=2000, step=4e-3, runs=3)
    stored = np.load(tmp_path / "near.npz")
    expected = np.array([[0.112, 0.170, 0.349], [0.064, 0.098, 0.186]])
    found = stored["covariance"].reshape(2, 4)[:, [0, 1, 3]]
    assert np.abs(found / expected - 1).max() < 0.1
    assert 0 < (stored["covariance_error"] / stored["covariance"]).max() < 0.05


def test_particles_at_rest_stay_there(monkeypatch):
    """From N(0, C) in ½uᵀC⁻¹u every covariance keeps to C, also with four particles on average."""
    monkeypatch.setattr(elliptic, "gradient", lambda u: u)
    random, square = np.random.default_rng(1), np.zeros((2, 2))
    u = random.standard_normal((6, 2))
    for _ in range(20_000):
        u = elliptic._langevin_step(u, 0.02, random)
        square += u.T @ u / 6
    assert np.allclose(square / 20_000, np.eye(2), atol=0.15)


@pytest.mark.parametrize(("times", "particles"), [((0.5, 0.1), 10), ((0.0,), 10), ((0.1,), 3)])
def test_unfit_particles_are_refused(times, particles):
    with pytest.raises(InputError, match="need rising times above 0"):
        elliptic.langevin(times, particles, 1e-3, 0)
    with pytest.raises(InputError, match="at least 2 points"):
        elliptic.posterior(1)


def test_the_command_knows_its_names():
    command = [sys.executable, "-m", "hpc_wgf.references", "kalman"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "kalman-elliptic, kalman-elliptic-near" in done.stderr
