"""Maps of circles: they commute with the periods, are stored, and are linear in θ."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.maps import Frame, PeriodicMap, described, rebuilt
from hpc_wgf.periods import Periods

CIRCLES = Periods((1.0, 0.0, 2.5))


def made(width: int = 4) -> PeriodicMap:
    map = PeriodicMap(CIRCLES, 3, width, seed=1).double()
    map.lay_out(Frame.of_moments(torch.tensor([0.2, -3.0, 1.0]), torch.tensor([1.0, 9.0, 2.0])))
    random = torch.Generator().manual_seed(0)
    theta = map.get_theta()
    map.set_theta(0.1 * torch.randn(len(theta), generator=random, dtype=torch.float64))
    return map


@pytest.mark.parametrize("width", [0, 4])
def test_a_periodic_map_commutes_with_its_periods(width):
    map, z = made(width), 3 * torch.randn(50, 3, dtype=torch.float64)
    for j in CIRCLES.circles:
        step = CIRCLES.shift(j, z)
        assert torch.allclose(map(z + step), map(z) + step, atol=1e-11)
    line = torch.tensor([0.0, 1.0, 0.0])
    assert not torch.allclose(map(z + line), map(z) + line, atol=1e-3)


def test_what_is_stored_is_the_same_map_to_the_bit():
    map, z = made(), torch.randn(20, 3, dtype=torch.float64)
    again = rebuilt(described(map)).double().at(map.get_theta())
    assert torch.equal(again(z), map(z))


@pytest.mark.parametrize("width", [0, 4])
def test_its_features_are_its_derivatives_by_the_parameters(width):
    map, z = made(width), torch.randn(6, 3, dtype=torch.float64)
    features = map.linear_features(z)
    assert features.index.shape[1:] == map.features_and_coordinates()
    theta = map.get_theta()
    moved = torch.einsum("bkn,bki->nbi", features.value, theta[features.index]).flatten(1)
    assert torch.allclose(z + moved, map(z), atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda z: map(z).sum(0), z).permute(1, 0, 2)
    assert torch.allclose(features.jacobian(theta)[0].permute(2, 0, 1), jacobian, atol=1e-10)


def test_a_periodic_map_without_periods_is_refused():
    with pytest.raises(InputError, match=r"needs the periods of its coordinates.*problem\.periods"):
        PeriodicMap(None)
    with pytest.raises(InputError, match="at least one harmonic"):
        PeriodicMap(CIRCLES, 0)
