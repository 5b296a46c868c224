"""The samples of a run: drawn, weighted, cut into chunks, shared over ranks, and averaged."""

from .energy_gradient import GRADIENT_CHUNK, energy_gradient
from .ensemble import Ensemble
from .sampler import Evaluation, Parts, Sampler

__all__ = [
    "GRADIENT_CHUNK",
    "Ensemble",
    "Evaluation",
    "Parts",
    "Sampler",
    "energy_gradient",
]
