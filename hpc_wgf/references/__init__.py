"""Reference solutions by a method that is independent of the solver that is tested against them."""

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
