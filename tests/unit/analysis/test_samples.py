"""New samples as arrays."""

from __future__ import annotations

import numpy as np
import torch

from hpc_wgf.analysis import Samples
from hpc_wgf.cloud import Cloud


def test_where_the_map_has_folded_nothing_is_said_of_the_density():
    """Of two chunks; positions and start samples stand."""
    x = torch.arange(8.0).view(4, 2)
    ends = (slice(0, 1), slice(1, 4))
    pairs = [
        (
            Cloud(-x[part], x[part, 0], x[part]),
            Cloud(x[part], x[part, 0], x[part], positive=x[part, 0] != 4.0),
        )
        for part in ends
    ]
    found = Samples.of(pairs, 0.5, 7)
    assert np.array_equal(found.x, x.numpy())
    assert np.array_equal(found.z, -x.numpy())
    assert np.array_equal(np.isnan(found.log_density), [False, False, True, False])
    assert np.array_equal(np.isnan(found.score).all(1), [False, False, True, False])
    assert found.folded == 1
    assert (found.weight == 1).all()
