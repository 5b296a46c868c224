"""Preimages under every kind of map, and what is said where there are none."""

from __future__ import annotations

import pytest
import torch
from every_map import MAPS, D

from hpc_wgf.maps import Affine, BlockFlow, PlanarFlow
from hpc_wgf.pushed import preimage as module
from hpc_wgf.pushed.preimage import gradients, preimage


@pytest.mark.parametrize("kind", MAPS)
def test_preimages_are_those_of_the_map(kind):
    """To rounding; the estimate of the error says so."""
    map = MAPS[kind]()
    map.set_theta(map.get_theta() + 0.08 * torch.randn(map.parameter_count()))
    z = torch.randn(60, D)
    with torch.no_grad():
        image = map.transport(z)
    assert image.positive.all()
    found = preimage(map, image.x, torch.randn(100, D))
    assert found.found.all()
    error = (found.z - z).norm(dim=1)
    assert error.max() < 1e-12
    assert found.error.max() < 1e-13


def test_the_gradient_is_that_of_autograd():
    map = MAPS["composition"]()
    map.set_theta(map.get_theta() + 0.1 * torch.randn(map.parameter_count()))
    z = torch.randn(3, D)
    expected = torch.stack([torch.func.jacrev(lambda p: map(p[None])[0])(each) for each in z])
    assert torch.allclose(gradients(map, z), expected.detach(), atol=1e-13)


@pytest.fixture
def steep():
    """A block that is steep near 0 and unfolded, from whose images Newton steps go astray."""
    map = BlockFlow(2, 2)
    W = torch.eye(2) * 8
    map.set_theta(torch.cat([W.reshape(-1), torch.zeros(2), (3 * torch.eye(2)).reshape(-1)]))
    return map


def test_a_search_begins_anew_from_the_nearest_images(steep, monkeypatch):
    z = torch.randn(300, 2)
    with torch.no_grad():
        x = steep(z)
    seeds = torch.randn(400, 2)
    found = preimage(steep, x, seeds)
    assert found.found.all()
    assert (found.z - z).norm(dim=1).max() < 1e-9
    monkeypatch.setattr(module, "_HALVINGS", 1)
    monkeypatch.setattr(module, "_ANEW", 0)
    alone = preimage(steep, x, seeds)
    assert not alone.found.all()
    assert alone.z[~alone.found].isnan().all()
    assert alone.error[~alone.found].isinf().all()


def test_where_there_is_none_nothing_is_found():
    """A flattened map, one whose layer has folded, and one point among others."""
    flat = Affine(2).at(torch.tensor([-1.0, 0, 0, 0, 0.3, 0.0]))
    found = preimage(flat, torch.tensor([[1.0, 2.0], [0.3, 2.0]]), torch.randn(9, 2))
    assert not found.found.any()
    map = PlanarFlow(1, 1).at(torch.tensor([1.0, 0.0, -3.0]))  # x - 3 tanh x, not monotone
    found = preimage(map, torch.tensor([[0.5], [40.0]]), torch.randn(9, 1))
    for z, x, is_found in zip(found.z, (0.5, 40.0), found.found, strict=True):
        assert not is_found or abs(float(z - 3 * torch.tanh(z)) - x) < 1e-9


def test_what_is_not_accurate_is_not_taken(steep, monkeypatch):
    """From the points themselves two Newton steps do not lead to all of their preimages."""
    monkeypatch.setattr(module, "_of_part", lambda part, x, seeds, images: x)
    monkeypatch.setattr(module, "_POLISH", 2)
    z = torch.randn(200, 2)
    with torch.no_grad():
        found = preimage(steep, steep(z), torch.randn(10, 2))
    assert 0 < int(found.found.sum()) < 200
    assert (found.z - z)[found.found].norm(dim=1).max() < 1e-8
    assert found.z[~found.found].isnan().all()
