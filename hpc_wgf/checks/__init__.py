"""Checks of problem, start density and map before a run."""

from .arguments import check_arguments, check_communicator, check_map, output_of
from .bounded import start_warnings
from .density import VIRIAL_SAMPLES, check_mass, check_virial
from .functions import check_density
from .learned import check_same_samples, learned_digest, sample_notes
from .left_over import MOST_LEFT_OVER, force_left_over, gate_warnings
from .map import check_identity
from .module import copied
from .pairs import check_same_pairs
from .periods import check_commutes
from .replicas import check_same_everywhere, check_same_stage
from .rounding import rounding
from .start import check_cloud, check_start

__all__ = [
    "MOST_LEFT_OVER",
    "VIRIAL_SAMPLES",
    "check_arguments",
    "check_cloud",
    "check_communicator",
    "check_commutes",
    "check_density",
    "check_identity",
    "check_map",
    "check_mass",
    "check_same_everywhere",
    "check_same_pairs",
    "check_same_samples",
    "check_same_stage",
    "check_start",
    "check_virial",
    "copied",
    "force_left_over",
    "gate_warnings",
    "learned_digest",
    "output_of",
    "rounding",
    "sample_notes",
    "start_warnings",
]
