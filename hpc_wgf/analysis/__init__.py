"""What can be learnt from a stored run: its maps, one in place of many, new samples, the judge's
figures anew, how far it is from the exact flow."""

from .consolidation import Consolidated, consolidate
from .divergence_to_exact import PATHS, ExactDivergence, exact_divergence, no_reversible_flow
from .trajectory import SAMPLES, Trajectory

__all__ = [
    "PATHS",
    "SAMPLES",
    "Consolidated",
    "ExactDivergence",
    "Trajectory",
    "consolidate",
    "exact_divergence",
    "no_reversible_flow",
]
