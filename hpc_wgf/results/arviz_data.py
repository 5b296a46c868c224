"""Particles as draws for arviz, which nothing else of the package needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError


def inference_data(
    particles: np.ndarray, log_density: np.ndarray, log_weight: np.ndarray | None,
    attributes: Mapping[str, Any],
) -> Any:  # fmt: skip
    """One chain: `posterior` has x (chain, draw, axis); `sample_stats` lp = log ρ(x) and
    log_weight, with which E[a] is the mean of e^{log_weight} a, (chain, draw) each. An
    `arviz.InferenceData`, from version 1 on a `DataTree`.

    Errors: `InputError` where arviz is not installed."""
    try:
        import arviz
    except ImportError as error:
        raise InputError(
            "draws for arviz need it, and it is not installed here: pip install 'hpc-wgf[arviz]'"
        ) from error
    if log_weight is None:
        log_weight = np.zeros(len(particles), dtype=log_density.dtype)
    groups = {
        "posterior": {"x": particles[None]},
        "sample_stats": {"lp": log_density[None], "log_weight": log_weight[None]},
    }
    names = {"coords": {"axis": np.arange(particles.shape[1])}, "dims": {"x": ["axis"]}}
    if int(arviz.__version__.split(".")[0]) < 1:
        return arviz.from_dict(**groups, **names, attrs=dict(attributes))
    return arviz.from_dict(groups, **names, attrs={"/": dict(attributes)})
