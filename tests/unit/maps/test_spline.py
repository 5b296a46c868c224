"""Axis splines against scipy's natural splines, and their knots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import interpolate

from hpc_wgf import InputError
from hpc_wgf.maps import AxisSpline, Frame, described_built_in, rebuilt


def map_with(seed: int = 0, size: float = 0.3, **options) -> AxisSpline:
    map = AxisSpline(2, 9, **options)
    map.c.data.copy_(size * torch.randn(2, 9, generator=torch.Generator().manual_seed(seed)))
    return map


def scipy_spline(map: AxisSpline, j: int):
    """The natural cubic spline through the values of S_j at its knots, continued by lines."""
    knots = float(map.low[j]) + float(map.width[j]) * np.arange(map.knots)
    at = torch.zeros(map.knots, 2)
    at[:, j] = torch.from_numpy(knots)
    values = (map(at)[:, j] - at[:, j]).detach().numpy()
    inside = interpolate.CubicSpline(knots, values, bc_type="natural")

    def continued(x, order):
        held = np.clip(x, knots[0], knots[-1])
        if order == 2:
            return np.where(x == held, inside(x, 2), 0.0)
        return inside(held, order) + (inside(held, 1) * (x - held) if order == 0 else 0.0)

    return continued


def test_it_is_the_natural_cubic_spline_through_its_values():
    map = map_with(low=[-2.0, 0.5], high=[1.0, 3.0])
    z = 3.5 * torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    image = map.transport(z, torch.zeros_like(z))
    splines = [scipy_spline(map, j) for j in range(2)]
    S, first, second = (
        np.stack([spline(z[:, j].numpy(), order) for j, spline in enumerate(splines)], 1)
        for order in range(3)
    )
    assert np.allclose(image.x.detach(), z + S, atol=1e-12)
    assert np.allclose(image.log_det.detach(), np.log(np.abs(1 + first)).sum(1), atol=1e-11)
    assert np.array_equal(image.positive, ((1 + first) > 0).all(1))
    # From the score 0 of a uniform density: −T''/T'².
    assert np.allclose(image.score.detach(), -second / (1 + first) ** 2, rtol=1e-8, atol=1e-9)


def test_straight_lines_are_splines():
    map = AxisSpline(1, 6, low=-1.0, high=2.0)
    map.c.data.copy_(0.7 + 0.4 * (map.low + map.width * torch.arange(6.0)))
    z = torch.linspace(-9, 9, 50)[:, None]
    image = map.transport(z, -z)
    assert torch.allclose(image.x, 1.4 * z + 0.7, atol=1e-12)
    assert torch.allclose(image.score, -z / 1.4, atol=1e-11)


def test_knots_span_the_samples():
    x = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(4))
    x = x * torch.tensor([0.1, 5.0]) + torch.tensor([30.0, 0.0])
    map = AxisSpline(2, 11)
    map.lay_out(Frame.of_samples(x))
    last = map.low + 10 * map.width
    assert torch.equal((x < map.low).sum(0), torch.tensor([15, 15]))
    assert torch.equal((x > last + 1e-12 * map.width).sum(0), torch.tensor([15, 15]))
    few = Frame.of_samples(x[:400])
    assert int((x[:400] < few.low).sum(0).max()) == 8


def test_given_knots_stay_where_they_are():
    map = AxisSpline(2, 5, low=-1.0, high=[3.0, 4.0])
    map.lay_out(Frame.of_samples(torch.randn(100, 2)))
    assert map.low.tolist() == [-1.0, -1.0]
    assert map.width.tolist() == [1.0, 1.25]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_description_keeps_the_knots_to_the_bit(dtype):
    map = AxisSpline(3, 7)
    map.lay_out(Frame.of_samples(torch.randn(500, 3, generator=torch.Generator().manual_seed(9))))
    map = map.to(dtype)
    again = rebuilt(described_built_in(map)).to(dtype)
    z = torch.randn(40, 3, dtype=dtype, generator=torch.Generator().manual_seed(2))
    theta = 0.1 * torch.randn(21, dtype=dtype, generator=torch.Generator().manual_seed(3))
    assert torch.equal(again.at(theta)(z), map.at(theta)(z))


@pytest.mark.parametrize(
    ("knots", "options", "message"),
    [
        (2, {}, "at least 3 knots, got 2"),
        (5, {"low": 1.0, "high": 1.0}, "must lie beyond its first"),
        (5, {"low": 7.0}, "must lie beyond its first"),
        (5, {"low": [1.0, 2.0, 3.0]}, "low of a spline in dimension 2 must be a number or one for"),
    ],
)
def test_what_is_no_spline_is_refused(knots, options, message):
    with pytest.raises(InputError, match=message):
        AxisSpline(2, knots, **options)
