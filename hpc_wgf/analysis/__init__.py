"""What can be learnt from a stored run: its maps, one in place of many, new samples, the judge's
figures anew, how far it is from the exact flow, expectations of the stationary density."""

from ..pushed import MapAt, Preimage
from .consolidation import Consolidated, consolidate
from .divergence_to_exact import PATHS, ExactDivergence, exact_divergence, no_reversible_flow
from .expectations import expectations
from .further_figures import with_bound, with_correction, with_exact_kl, with_expectations
from .samples import Samples
from .stored_error import StoredError, stored_errors
from .trajectory import SAMPLES, Trajectory
from .velocity_potential import VelocityPotential, velocity_potential

__all__ = [
    "PATHS",
    "SAMPLES",
    "Consolidated",
    "ExactDivergence",
    "MapAt",
    "Preimage",
    "Samples",
    "StoredError",
    "Trajectory",
    "VelocityPotential",
    "consolidate",
    "exact_divergence",
    "expectations",
    "no_reversible_flow",
    "stored_errors",
    "velocity_potential",
    "with_bound",
    "with_correction",
    "with_exact_kl",
    "with_expectations",
]
