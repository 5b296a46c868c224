"""∂_θ∇T against differences, its transpose, and ∇T against the map's own volume, for every map."""

from __future__ import annotations

import pytest
import torch
from every_map import MAPS, D, with_exact_volumes
from oracles import perturb

from hpc_wgf.maps import Frame
from hpc_wgf.methods.implicit.deformation import Deformation


@pytest.mark.parametrize("name", MAPS)
def test_the_products_are_those_of_the_derivative(name):
    map = with_exact_volumes(MAPS[name]())
    map.lay_out(Frame.unit(D))
    map = perturb(map.double(), 0.1)
    theta, z = map.get_theta(), torch.randn(9, D, generator=torch.Generator().manual_seed(1))
    v = torch.randn(len(theta), generator=torch.Generator().manual_seed(2))
    here, step = Deformation(map, theta, z), 1e-5
    volume = torch.linalg.slogdet(here.gradient()).logabsdet
    assert float((volume - map.transport(z).log_det.detach()).abs().max()) < 1e-12
    ahead, back = (Deformation(map, theta + s * v, z).gradient() for s in (step, -step))
    rate = here.rate(v)
    assert float((rate - (ahead - back) / (2 * step)).abs().max()) < 1e-5 * float(v.norm())
    S = torch.randn(9, D, D, generator=torch.Generator().manual_seed(3))
    assert float((rate * S).sum()) == pytest.approx(float(v @ here.pulled(S)), rel=1e-9, abs=1e-11)
    anew = Deformation(map, theta, z, keep=False)
    assert torch.equal(anew.rate(v), rate)
    assert torch.equal(anew.rates(v[None])[0], rate)
