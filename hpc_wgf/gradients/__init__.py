"""Gradients of functions of x among the vector fields at samples: a basis, and the projection."""

from .projection import (
    GradientProjection,
    basis_for,
    basis_size,
    told_of_size,
)
from .ridge_basis import RidgeBasis

__all__ = ["GradientProjection", "RidgeBasis", "basis_for", "basis_size", "told_of_size"]
