"""Training over real processes: torch on any ranks, and DeepSpeed against it."""

from __future__ import annotations

import numpy as np
import pytest
from processes import script


def parameters(folder, ranks, engine="torch", stage=1, accumulation=1, broken=0):
    """After sixty iterations of a game of two networks; broken off after some, if wanted."""
    out = folder / f"{engine}-{ranks}-{stage}-{accumulation}-{broken}.npy"
    done = script(
        "trained_on_ranks.py", out, engine, stage, accumulation, broken, ranks=ranks,
        launcher="torchrun",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(out)


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    return parameters(tmp_path_factory.mktemp("torch"), 2)


def test_torch_trains_the_same_on_any_number_of_ranks(on_two, tmp_path):
    for ranks in (1, 4):
        assert np.array_equal(parameters(tmp_path, ranks), on_two)


@pytest.mark.parametrize(("stage", "accumulation", "broken"), [(1, 2, 0), (2, 1, 0)])
def test_deepspeed_trains_as_torch_does(on_two, tmp_path, stage, accumulation, broken):
    found = parameters(tmp_path, 2, "deepspeed", stage, accumulation, broken)
    assert np.abs(found - on_two).max() <= 1e-6
    broken = parameters(tmp_path, 2, "deepspeed", stage, accumulation, 25)
    assert np.array_equal(broken, found)
