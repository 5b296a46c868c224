"""Roots of increasing functions, elementwise."""

from __future__ import annotations

import torch

from hpc_wgf.pushed.monotone import solve_increasing


def test_roots_are_found_from_afar_where_newton_steps_alone_would_not():
    """tanh is flat away from 0: from there a Newton step leads to infinity."""
    roots = torch.tensor([-30.0, -1.0, 0.0, 2.0, 1e6])

    def function(s):
        a = torch.tanh(5 * s)
        return s + 40 * a, 1 + 200 * (1 - a * a)

    found = solve_increasing(function, function(roots)[0], torch.full_like(roots, 7.0))
    assert torch.allclose(found, roots, rtol=1e-14, atol=1e-15)


def test_what_is_not_reached_is_not_a_number():
    def bounded(s):
        return torch.atan(s), 1 / (1 + s * s)

    found = solve_increasing(bounded, torch.tensor([1.0, 1.6, -9.0]), torch.zeros(3))
    assert torch.allclose(found[0], torch.tan(torch.tensor(1.0)), rtol=1e-14)
    assert found[1:].isnan().all()
