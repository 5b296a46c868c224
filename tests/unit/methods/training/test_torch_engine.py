"""Adam against its formula, clipping, learning rates, and a loop that is broken off."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hpc_wgf import InputError
from hpc_wgf.choices import Decay
from hpc_wgf.errors import StepFailed, StepUnfinished
from hpc_wgf.methods.training import (
    InnerLoop,
    TorchEngine,
    TrainingOptions,
    frozen,
    learning_rate,
    unfinished_of,
)
from hpc_wgf.parallel import LocalCommunicator

TARGET = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


class Point(nn.Module):
    """θ itself."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(3, dtype=torch.float64))


def parts(point):
    """|x − c|² in three contributions."""
    return [lambda k=k: (point.x[k] - TARGET[k]).square() for k in range(3)]


def adam(steps, rates, clip=None):
    """D. P. Kingma, J. Ba, Adam (ICLR 2015), Algorithm 1."""
    x, m, v, target = np.zeros(3), np.zeros(3), np.zeros(3), TARGET.numpy()
    for t, rate in zip(range(1, steps + 1), rates, strict=True):
        g = 2 * (x - target)
        if clip is not None:
            g = g * min(1.0, clip / np.linalg.norm(g))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return x


@pytest.mark.parametrize("clip", [None, 0.5])
def test_steps_are_those_of_adam(clip):
    point = Point()
    engine = TorchEngine(point, LocalCommunicator(), clip=clip)
    rates = [learning_rate(Decay.COSINE, 0.1, k, 6) for k in range(6)]
    losses = [engine.step(parts(point), rate) for rate in rates]
    assert losses[0] == 14.0
    assert np.allclose(point.x.detach().numpy(), adam(6, rates, clip), rtol=1e-12)


def test_learning_rates():
    of = [learning_rate(Decay.ONE_CYCLE, 1.0, k, 101) for k in range(101)]
    assert (of[0], max(of), of[30], of[100]) == pytest.approx((0.04, 1.0, 1.0, 0.0))
    cosine = [learning_rate(Decay.COSINE, 2.0, k, 11) for k in range(11)]
    assert (cosine[0], cosine[5], cosine[10]) == pytest.approx((2.0, 1.01, 0.02))
    assert {learning_rate(Decay.CONSTANT, 0.3, k, 5) for k in range(5)} == {0.3}


def test_what_is_not_finite_fails():
    point = Point()
    engine = TorchEngine(point, LocalCommunicator())
    with pytest.raises(StepFailed, match="not finite"):
        engine.step([lambda: (point.x * torch.inf).sum()], 0.1)


def test_frozen_parameters_are_constants():
    first, second = Point(), Point()
    with frozen(second):
        loss = (first.x * second.x).sum()
        loss.backward()
    assert second.x.grad is None
    assert second.x.requires_grad


def loop(point, stop_after, unfinished=None, step_size=0.1):
    """Eight iterations, of which a stop is asked for after some."""
    asked, engine = [], TorchEngine(point, LocalCommunicator())

    def stop():
        asked.append(None)
        return len(asked) == stop_after

    setting = SimpleNamespace(communicator=LocalCommunicator(), stop=stop)
    InnerLoop(setting, {"x": engine}, step_size).run(
        lambda k: engine.step(parts(point), 0.1 / (k + 1)), 8, unfinished
    )


def test_a_loop_goes_on_where_it_was_broken_off():
    whole, first, second = Point(), Point(), Point()
    loop(whole, None)
    with pytest.raises(StepUnfinished) as broken:
        loop(first, 3)
    kept = unfinished_of({**broken.value.memory, "other": np.zeros(1)})
    assert "other" not in kept
    assert not torch.equal(first.x, whole.x)
    loop(second, None, kept)
    assert torch.equal(second.x, whole.x)
    # A step of another size, as on the way to a later end, begins anew.
    other = Point()
    loop(other, None, kept, step_size=0.2)
    assert torch.equal(other.x, whole.x)


def test_what_options_refuse():
    with pytest.raises(InputError, match='float32 only.*method.engine = "torch"'):
        TrainingOptions(engine="deepspeed")
    assert TrainingOptions(engine="deepspeed", dtype="float32").zero_stage == 1
    with pytest.raises(InputError, match="zero_stage"):
        TrainingOptions(zero_stage=3)
