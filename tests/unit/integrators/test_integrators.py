"""Schemes: their order on a nonlinear system, their tableaux, and the controllers."""

from __future__ import annotations

import math

import pytest
import torch

from hpc_wgf.integrators import TABLEAUX, FixedStep, PIController, Tableau, runge_kutta_step


def pendulum(y: torch.Tensor, after: float = 0.0) -> torch.Tensor:
    return torch.stack([y[1], -torch.sin(y[0])])


def integrate(tableau: Tableau, steps: int, duration: float = 1.0) -> torch.Tensor:
    y = torch.tensor([1.2, 0.3])
    for _ in range(steps):
        y, _ = runge_kutta_step(pendulum, y, pendulum(y), duration / steps, tableau)
    return y


def slope(sizes: list[float], errors: list[float]) -> float:
    logs = [(math.log(s), math.log(e)) for s, e in zip(sizes, errors, strict=True)]
    (x0, y0), (x1, y1) = logs[0], logs[-1]
    return (y1 - y0) / (x1 - x0)


@pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=TABLEAUX)
def test_order(tableau):
    exact = integrate(TABLEAUX["rk4"], 4000)
    counts = [20, 40, 80, 160]
    errors = [float((integrate(tableau, n) - exact).norm()) for n in counts]
    assert slope([1 / n for n in counts], errors) == pytest.approx(tableau.order, abs=0.15)


@pytest.mark.parametrize("name", [n for n, t in TABLEAUX.items() if t.error is not None])
def test_error_estimate_is_one_order_below(name):
    """The estimate is that of the lower-order solution: it falls as h^order locally."""
    tableau, y = TABLEAUX[name], torch.tensor([1.2, 0.3])
    sizes = [0.1, 0.05, 0.025, 0.0125]
    norms = []
    for h in sizes:
        _, error = runge_kutta_step(pendulum, y, pendulum(y), h, tableau)
        norms.append(float(error.norm()))
    assert slope(sizes, norms) == pytest.approx(tableau.order, abs=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": (0.5, 0.6)}, "weights sum"),
        ({"a": ((0.9,),)}, "row 1 does not sum"),
        ({"error": (0.5, 0.5)}, "error weights"),
        ({"c": (0.0,)}, "nodes"),
    ],
)
def test_a_mistyped_tableau_is_refused(change, message):
    heun = TABLEAUX["heun"]
    fields = {"a": heun.a, "b": heun.b, "c": heun.c, "error": heun.error} | change
    with pytest.raises(ValueError, match=message):
        Tableau("wrong", 2, **fields)


def test_fixed_step_accepts_everything_and_changes_nothing():
    assert FixedStep().judge(None, 1.0, 0.0).factor == 1.0
    assert FixedStep().judge(None, 1.0, 0.0).accept
    assert FixedStep().after_failure() is None


def test_controller_rejects_above_and_grows_below_the_tolerance():
    controller = PIController(1e-3, order=2)
    assert not controller.judge(2e-3, 1.0, 0.0).accept
    assert controller.judge(2e-3, 1.0, 0.0).factor < 1
    small = controller.judge(1e-5, 1.0, 0.0)
    assert small.accept
    assert small.factor == controller.largest
    assert controller.judge(1e-3, 1.0, 0.0).factor == pytest.approx(0.9)
    assert not controller.judge(float("nan"), 1.0, 0.0).accept


@pytest.mark.parametrize(("displacement", "largest"), [(0.5, 4e-3), (3.0, 24e-3), (0.0, 8e-5)])
def test_a_relative_tolerance_is_one_of_the_displacement(displacement, largest):
    """The largest error is 8e-3 of it, and where nothing has moved of `least_scale`."""
    relative = PIController(8e-3, order=2, least_scale=1e-2)
    verdict = relative.judge(0.99 * largest, 1.0, displacement)
    assert verdict.accept
    assert verdict.error == pytest.approx(0.99)
    assert verdict.factor == pytest.approx(0.9 * 0.99**-0.35)
    rejected = relative.judge(4 * largest, 1.0, displacement)
    assert not rejected.accept
    assert rejected.factor == pytest.approx(0.9 * 4**-0.5)
    assert PIController(8e-3, order=2).judge(7.99e-3, 1.0, displacement).accept
    assert not PIController(8e-3, order=2).judge(8.01e-3, 1.0, displacement).accept


def test_adaptive_run_meets_its_tolerance():
    """Error per step held to a tolerance: the global error falls with it."""
    exact = integrate(TABLEAUX["rk4"], 4000)
    globals_ = []
    for tolerance in (1e-3, 1e-5):
        controller = PIController(tolerance, TABLEAUX["kutta32"].order)
        y, t, h, previous = torch.tensor([1.2, 0.3]), 0.0, 0.1, 1.0
        while t < 1.0:
            h = min(h, 1.0 - t)
            new, error = runge_kutta_step(pendulum, y, pendulum(y), h, TABLEAUX["kutta32"])
            verdict = controller.judge(float(error.norm()), previous, 0.0)
            if verdict.accept:
                y, t, previous = new, t + h, verdict.error
            h *= verdict.factor
        globals_.append(float((y - exact).norm()))
    assert globals_[0] < 1e-3
    assert globals_[1] < 2e-5
