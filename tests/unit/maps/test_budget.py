"""What linearisations keep: a quarter of a GPU, half of what is free there, or what there is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from bound import ensemble_of
from oracles import perturb

from hpc_wgf.maps import BlockFlow
from hpc_wgf.maps.linearization import default_budget
from hpc_wgf.metric import GramOperator

_GIB = 2**30


@pytest.mark.parametrize(
    ("free", "reserved", "used", "expected"),
    [(78, 0, 0, 20), (78, 2, 1, 20), (10, 0, 0, 5), (10, 8, 2, 8), (0, 0, 0, 0)],
)
def test_no_more_than_half_of_what_is_free(monkeypatch, free, reserved, used, expected):
    """A quarter of the card was taken whoever else was there, and the run ended without memory.
    What torch holds in reserve is free to it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * _GIB, 80 * _GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved * _GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: used * _GIB)
    on_gpu = SimpleNamespace(is_cuda=True, device="cuda:1")
    assert default_budget(on_gpu) == expected * _GIB


@pytest.mark.parametrize("refused", [1, 3])
def test_what_memory_is_refused_for_is_computed_anew(refused):
    """On one rank of many that ended the run, while the others waited. The bits are the same."""
    map = perturb(BlockFlow(3, 8))
    parts, v = torch.randn(400, 3).split(100), torch.randn(map.parameter_count())
    whole, short = map.linearizer(), map.linearizer()
    chunk, asked = short.chunk, []

    def limited(storage):
        asked.append(storage)
        if len(asked) == refused:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return chunk(storage)

    short.chunk = limited
    chunks = [short.linearize(part) for part in parts]
    assert [each.nbytes > 0 for each in chunks] == [k + 1 < refused for k in range(4)]
    assert len(asked) == 5  # once refused, memory is not asked for again
    kept = GramOperator([whole.linearize(part) for part in parts], ensemble_of(parts))
    assert torch.equal(GramOperator(chunks, ensemble_of(parts)).matvec(v), kept.matvec(v))
