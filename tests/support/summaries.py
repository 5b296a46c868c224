"""Figures of a summary as arrays."""

from __future__ import annotations

import numpy as np

from hpc_wgf.report import Summary


def errors_after_start(summary: Summary) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map error, bound and estimate over the displacement, at all stored times but the first."""
    error, bound, estimate = (
        np.array(values[1:], dtype=float)
        for values in (
            summary.map_error_relative, summary.error_bound_relative,
            summary.error_estimate_relative,
        )
    )  # fmt: skip
    return error, bound, estimate
