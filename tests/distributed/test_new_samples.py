"""New samples of a stored run are the same on any number of ranks."""

from __future__ import annotations

import numpy as np
from processes import SMALL, cli, here, solved


def test_two_ranks_draw_the_same_samples(tmp_path):
    solved("run", "ou-2d", *SMALL, "--out", tmp_path / "run")
    line = ["sample", tmp_path / "run", "--time", "0.12", "-n", "5000", "--out"]
    alone, two = here(*line, tmp_path / "one.npz"), cli(*line, tmp_path / "two.npz", ranks=2)
    assert alone.returncode == two.returncode == 0, two.stderr
    assert "on 2 rank(s)" in two.stdout
    with np.load(tmp_path / "one.npz") as a, np.load(tmp_path / "two.npz") as b:
        assert len(a.files) == 7
        for name in a.files:
            assert np.array_equal(a[name], b[name]), name
    assert alone.stdout.splitlines()[1] == two.stdout.splitlines()[1]  # the mean, to the digit
    assert not list(tmp_path.glob("*.part*"))
