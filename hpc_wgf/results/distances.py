"""Distances between the densities of two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..analysis import Trajectory
from ..diagnostics import wasserstein_1d
from ..errors import InputError
from ..kinds import check_whole
from ..parallel import LocalCommunicator

SAMPLES = 4096
_PROJECTIONS = 200


@dataclass(frozen=True)
class Distance:
    """A distance, in units of x."""

    value: float
    kind: str
    """ "map": (E|T_a − T_b|²)^½, at least W₂; "sliced": sliced W₂, at most W₂; "w2"."""
    standard_error: float | None
    """Of the samples; None where it is not known."""
    samples: int


def map_distance(
    a: Trajectory, b: Trajectory, time: float, samples: int = SAMPLES, seed: int = 0
) -> Distance:
    """(E|T_a(z) − T_b(z)|²)^½ over samples z of the start density that both runs have.

    Errors: `InputError` where they have not."""
    check_whole(samples, "the number of samples")
    starts = [(repr(run.spec.problem.start), run.spec.problem.start_time) for run in (a, b)]
    if starts[0] != starts[1]:
        raise InputError(
            f"{a.run.path} and {b.run.path} begin from different densities: their maps carry "
            "different samples; compare them by w2"
        )
    drawn = a.drawn(max(2, samples), a.at(time).map, LocalCommunicator(), seed=seed)
    other = b.map_at(time)
    square = torch.cat([
        (image.x.double().cpu() - other.push(start.x.double().cpu())).square().sum(1)
        for start, image in drawn
    ])  # fmt: skip
    mean, value = float(square.mean()), float(square.mean()) ** 0.5
    deviation = float(square.std()) / len(square) ** 0.5
    return Distance(value, "map", 0.5 * deviation / value if mean > 0 else 0.0, len(square))


def sliced_w2(x: np.ndarray, y: np.ndarray, seed: int = 0) -> Distance:
    """(E_θ W₂(θ·x, θ·y)²)^½ over directions θ, for samples (n, d); on the line W₂.

    Errors: `InputError` where POT is not installed."""
    x, y = x.astype(float), y.astype(float)
    if x.shape[1] == 1:
        value = float(wasserstein_1d(torch.from_numpy(x), torch.from_numpy(y)))
        return Distance(value, "w2", None, len(x))
    try:
        import ot
    except ImportError as error:
        raise InputError(
            "sliced W2 needs POT, which is not installed here: pip install 'hpc-wgf[pot]'; "
            "map_distance needs nothing"
        ) from error
    value = ot.sliced_wasserstein_distance(x, y, n_projections=_PROJECTIONS, p=2, seed=seed)
    return Distance(float(value), "sliced", None, len(x))
