"""Each run has its own precision of matrix products, whatever others in the process have."""

from __future__ import annotations

import pytest
import torch
from pretended_gpu import pretended_gpu

from hpc_wgf.config import load_problem
from hpc_wgf.errors import StepFailed
from hpc_wgf.methods.pwgf import PWGF, pwgf
from hpc_wgf.parallel import LocalCommunicator


def allowed() -> bool:
    return torch.backends.cuda.matmul.allow_tf32


def runner(on, *settings: str) -> PWGF:
    few = ("method.samples=64", "method.dtype=float32", *settings)
    problem, map, options = load_problem("ou-2d", *few)
    return PWGF.on(problem, map, options, on, pieces=1)


def test_of_two_runs_each_has_its_own(monkeypatch):
    """The one made last decided for both."""
    seen = []

    def assemble(*arguments, **named):
        seen.append(allowed())
        raise StepFailed("seen enough")

    with pretended_gpu() as gpu:
        rough, fine = runner(gpu, "method.tf32=true"), runner(gpu)
        monkeypatch.setattr(pwgf, "assemble", assemble)
        for each in (rough, fine, rough):
            with pytest.raises(StepFailed):
                each.enter(each.start())
            assert not allowed()
    assert seen == [True, False, True]


def test_a_step_is_taken_in_it(monkeypatch):
    with pretended_gpu() as gpu:
        rough = runner(gpu, "method.tf32=true", "method.scheme=heun", "method.tolerance=none")
        begun, seen = rough.enter(rough.start()), []
        solve = type(rough.scheme).advance

        def advance(*arguments, **named):
            seen.append(allowed())
            return solve(*arguments, **named)

        monkeypatch.setattr(type(rough.scheme), "advance", advance)
        rough.advance(begun, rough.options.step_size)
    assert seen == [True]
    assert not allowed()


def test_a_run_on_a_cpu_leaves_it_alone():
    local = runner(LocalCommunicator(), "method.tf32=true")
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        local.enter(local.start())
        assert allowed()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
