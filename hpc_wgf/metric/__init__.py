"""The pullback metric Ĝ(θ) = E[∂_θTᵀ ∂_θT] as a linear operator."""

from .gram import GramOperator

__all__ = ["GramOperator"]
