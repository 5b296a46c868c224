"""Keller and Segel's equation: its virial, and its radial solution, also near the singularity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import hpc_wgf as wgf


def radial_mass(beta: float, until: float) -> tuple[np.ndarray, np.ndarray]:
    """Radii and the mass within them at t = `until`, from N(0, I) in the plane: with u = r²,

        ∂ₜM = 4βu ∂²M/∂u² + 2M ∂M/∂u,

    by central differences on 600 points, which halving moves by 5e-4."""
    s = np.linspace(0, 1, 601)
    r = 8.0 * (0.05 * s + 0.95 * s**3)
    u, start = r**2, 1 - np.exp(-(r**2) / 2)
    h = np.diff(u)

    def rate(_: float, inner: np.ndarray) -> np.ndarray:
        mass = np.concatenate([[0.0], inner, [1.0]])
        slope = np.diff(mass) / h
        bend = 2 * np.diff(slope) / (h[1:] + h[:-1])
        middle = (h[:-1] * slope[1:] + h[1:] * slope[:-1]) / (h[1:] + h[:-1])
        return 4 * beta * u[1:-1] * bend + 2 * inner * middle

    found = solve_ivp(
        rate, (0, until), start[1:-1], method="LSODA", lband=1, uband=1, rtol=1e-8, atol=1e-10
    )
    return r, np.concatenate([[0.0], found.y[:, -1], [1.0]])


@pytest.fixture(scope="module")
def start() -> Tensor:
    u = torch.quasirandom.SobolEngine(2, scramble=True, seed=1).draw(8192, dtype=torch.float64)
    return torch.special.ndtri(u.clamp(1e-9, 1 - 1e-9))


@pytest.mark.parametrize("beta", [0.15, 0.25, 0.5])
def test_the_second_moment_grows_by_four_beta_less_one(start, beta):
    """To .03 at t = 2, above and below the critical diffusion; and the map to .02, beside a spread
    of 1 and more, in the core too, where the kernel is singular."""
    spec = wgf.load_problem(
        "keller-segel-2d", f"problem.energy.0.beta={beta}", "method.samples=512",
        "method.tolerance=3e-2",
    )  # fmt: skip
    solution = wgf.solve(*spec, wgf.Output(every=2.0, particles=64, bound=False))
    x = solution.state(start)
    change = float((x.square().sum(1) - start.square().sum(1)).mean())
    assert change == pytest.approx((4 * beta - 1) * 2.0, abs=0.03)
    r, mass = radial_mass(beta, 2.0)
    before = start.norm(dim=1, keepdim=True)
    after = torch.from_numpy(np.interp(1 - np.exp(-(before.numpy() ** 2) / 2), mass, r))
    exact = after / before * start
    error = (x - exact).norm(dim=1)
    assert float(error.square().mean().sqrt()) < 0.02
    core = before[:, 0] < 0.5
    assert float(error[core].square().mean().sqrt()) < 0.02
    assert not np.isfinite(solution.summary.projection_error[-1] or np.nan)
