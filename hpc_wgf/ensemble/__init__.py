"""The samples of a run: they are drawn, shared among the ranks in chunks, and averaged here."""

from .energy_gradient import GRADIENT_CHUNK, energy_gradient
from .ensemble import Ensemble
from .failed import MOST_FOLDED, FailedSamples, SamplesFailed, unusable
from .sampler import Evaluation, Parts, Sampler, default_pieces

__all__ = [
    "GRADIENT_CHUNK",
    "MOST_FOLDED",
    "Ensemble",
    "Evaluation",
    "FailedSamples",
    "Parts",
    "Sampler",
    "SamplesFailed",
    "default_pieces",
    "energy_gradient",
    "unusable",
]
