"""How many samples are differentiated together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hpc_wgf.maps import ModuleMap, ResidualPerceptron, volume
from hpc_wgf.profiling.tracing import traced

CARD = 80 * 2**30


def test_a_gpu_takes_as_many_as_its_memory_holds(monkeypatch):
    """In chunks of 512, 10⁶ samples are 2000 rounds of launches that take longer than the work."""
    there = SimpleNamespace(is_cuda=True, device="cuda")
    properties = SimpleNamespace(total_memory=CARD)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert volume.samples_together(there, 512, 2**20) == 16384  # 5 GiB hold 5120 of them
    assert volume.samples_together(there, 512, 2**16) == 5 * 2**14
    assert volume.samples_together(torch.zeros(3, 2), 512, 2**16) == 512


def module() -> ModuleMap:
    net = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 3))
    return ModuleMap(3, net, anchored=True)


@pytest.mark.parametrize("map", [lambda: ResidualPerceptron(3, (20, 10)), module])
def test_the_memory_that_is_reckoned_with_is_about_what_is_held(map, monkeypatch):
    map, told = map(), []
    monkeypatch.setattr(
        volume, "samples_together", lambda z, chunk, nbytes: told.append(nbytes) or chunk
    )
    peaks = []
    for n in (100, 200):
        z = torch.randn(n, 3)
        peaks.append(traced(lambda z=z: map.transport(z, -z)).peak)
    reckoned = told[0] or map._second_order_bytes
    held = (peaks[1] - peaks[0]) / 100
    assert reckoned / 2 < held < 2 * reckoned
