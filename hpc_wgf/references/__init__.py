"""Reference solutions by methods that share nothing with the solver they judge."""

from .finite_volume import (
    Evolution,
    GradientFlow,
    Grid,
    cell_averages,
    coarsened,
    evolve,
    product_averages,
)

__all__ = [
    "Evolution",
    "GradientFlow",
    "Grid",
    "cell_averages",
    "coarsened",
    "evolve",
    "product_averages",
]
