"""Figures of merit from samples: errors of maps, divergences, distances, masses."""

from .divergences import affine_law, symmetric_kl
from .error_monitor import ErrorField, ErrorMonitor, estimate_bytes, looks_between, told_bytes
from .errors import MapError, map_error
from .judge import Judge
from .look import Look
from .mass import LogMass, log_mass
from .modes import mode_shares
from .path import PathPoint, between, cubic
from .wasserstein import wasserstein_1d

__all__ = [
    "ErrorField",
    "ErrorMonitor",
    "Judge",
    "LogMass",
    "Look",
    "MapError",
    "PathPoint",
    "affine_law",
    "between",
    "cubic",
    "estimate_bytes",
    "log_mass",
    "looks_between",
    "map_error",
    "mode_shares",
    "symmetric_kl",
    "told_bytes",
    "wasserstein_1d",
]
