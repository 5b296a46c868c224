"""Samples drawn ahead are the same, come in time, and leave nothing behind."""

from __future__ import annotations

import os
import threading
from unittest.mock import MagicMock, call, patch

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.ensemble import sampler as sampler_module
from hpc_wgf.ensemble.ahead import DrawnAhead, are_drawn_ahead, may_be_drawn_aside
from hpc_wgf.errors import InputError

CPU = torch.device("cpu")
ENERGY = [wgf.PotentialEnergy(wgf.Quadratic(2)), wgf.Entropy(1.0)]


class Taken(list):
    """Whether each draw was made ahead; `pending`: whether some may not have been waited for."""

    pending = False


@pytest.fixture
def as_beside_a_gpu(monkeypatch):
    """Samples are drawn ahead, as they are where a GPU computes; how many were is counted."""
    taken = Taken()

    class Counted(DrawnAhead):
        def begin(self, kind, key, shapes, draw):
            super().begin(kind, key, shapes, draw)
            taken.pending = True

        def close(self, kind=None):
            super().close(kind)
            taken.pending = taken.pending and kind is not None

        def take(self, kind, key):
            found = super().take(kind, key)
            taken.append(found is not None)
            return found

    monkeypatch.setattr(sampler_module, "are_drawn_ahead", lambda *_: True)
    monkeypatch.setattr(sampler_module, "DrawnAhead", Counted)
    return taken


def solved(path, until=0.2, *, resume=False, start=None, **options):
    method = wgf.PWGFOptions(samples=256, step_size=0.05, validation=0.5, form="energy", **options)
    problem = wgf.Problem(ENERGY, start or wgf.Gaussian(2, 1.0), until=until)
    wgf.solve(problem, wgf.Affine(2), method, wgf.Output(path, every=0.1), resume=resume)
    return wgf.open_run(path).column("theta")


def test_a_run_has_the_same_bits_and_leaves_no_thread(tmp_path, as_beside_a_gpu):
    """Also where it is stopped and resumed between."""
    with patch.object(sampler_module, "are_drawn_ahead", lambda *_: False):
        expected = solved(tmp_path / "plain")
    assert not any(as_beside_a_gpu)
    solved(tmp_path / "parts", 0.1)
    found = solved(tmp_path / "parts", resume=True)
    assert not any("ahead" in thread.name for thread in threading.enumerate())
    assert not as_beside_a_gpu.pending
    assert np.array_equal(found, expected)
    assert sum(as_beside_a_gpu) == 8  # the samples and held-out ones of every step but the first


def test_an_error_of_a_draw_is_that_of_the_step(tmp_path, as_beside_a_gpu):
    """A row that has been spoilt since the file was looked at."""
    rows = torch.randn(2000, 2, dtype=torch.float64)
    start = wgf.SampleStart(rows, density=wgf.Gaussian(2))
    draw = start.ordered

    def spoilt(span, total, *, place, **others):
        if place >= 700:
            raise InputError("a row has a value that is not finite")
        return draw(span, total, place=place, **others)

    start.ordered = spoilt
    with pytest.raises(InputError, match="a row has a value"):
        solved(tmp_path / "run", start=start)
    assert any(as_beside_a_gpu)
    assert not any("ahead" in thread.name for thread in threading.enumerate())


def test_a_draw_goes_on_while_others_compute():
    ahead, may_end = DrawnAhead(CPU, torch.float32), threading.Event()

    def draw():
        assert may_end.wait(10)
        return [torch.full((3, 2), 0.1, dtype=torch.float64)]

    ahead.begin("step", 4, [(3, 2)], draw)
    assert ahead.take("step", 5) is None  # another one, as where a step is tried once more
    ahead.begin("step", 4, [(3, 2)], lambda: pytest.fail("drawn twice"))
    may_end.set()
    (found,) = ahead.take("step", 4)
    assert torch.equal(found, torch.full((3, 2), 0.1, dtype=torch.float32))
    assert ahead.take("step", 4) is None


def test_a_stream_of_its_own_copies_what_is_pinned():
    """After the copy the present stream waits for it, and its memory belongs to that stream."""
    pinned, copy = MagicMock(), MagicMock()
    pinned.is_pinned.return_value, pinned.to.return_value = True, copy
    device = torch.device("cuda", 1)
    with patch("hpc_wgf.ensemble.ahead.torch.cuda") as cuda:
        present, own = cuda.current_stream.return_value, cuda.Stream.return_value
        order = MagicMock()
        for name, each in (("copy", pinned.to), ("wait", present.wait_stream),
                           ("record", copy.record_stream), ("stream", cuda.stream)):  # fmt: skip
            order.attach_mock(each, name)
        assert DrawnAhead(device, torch.float64)._uploaded([pinned]) == [copy]
    cuda.Stream.assert_called_once_with(device)
    cuda.current_stream.assert_called_once_with(device)
    assert [each for each in order.mock_calls if "__" not in each[0]] == [
        call.stream(own), call.copy(device, non_blocking=True), call.wait(own),
        call.record(present),
    ]  # fmt: skip


def test_a_core_draws_ahead_where_one_is_idle_and_it_pays(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    assert are_drawn_ahead(CPU, 200_000)
    assert not are_drawn_ahead(CPU, 2_000)
    assert not are_drawn_ahead(CPU, 20_000_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert not are_drawn_ahead(CPU, 200_000)
    assert are_drawn_ahead(torch.device("cuda"), 2_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert not are_drawn_ahead(CPU, 200_000)


def test_code_of_ones_own_is_not_called_from_a_thread():
    class Own(wgf.Gaussian):
        pass

    normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    assert may_be_drawn_aside(wgf.Mixture([wgf.Gaussian(2), wgf.Box(2)]))
    for density in (Own(2), wgf.DistributionDensity(normal), wgf.Mixture([Own(2)])):
        assert not may_be_drawn_aside(density)
