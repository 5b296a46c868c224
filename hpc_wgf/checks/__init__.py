"""Checks of problem, start density and map before a run."""

from .bounded import start_warnings
from .density import VIRIAL_SAMPLES, check_mass, check_virial
from .map import check_identity
from .replicas import check_same_everywhere, check_same_stage
from .rounding import rounding
from .start import check_cloud, check_start

__all__ = [
    "VIRIAL_SAMPLES",
    "check_cloud",
    "check_identity",
    "check_mass",
    "check_same_everywhere",
    "check_same_stage",
    "check_start",
    "check_virial",
    "rounding",
    "start_warnings",
]
