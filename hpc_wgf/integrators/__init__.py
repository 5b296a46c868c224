"""Integrators of y' = f(t, y): Runge–Kutta schemes, stabilised and linearly implicit ones, and the
control of the step size."""

from .controller import Controller, FixedStep, PIController, Verdict
from .rosenbrock import GAMMA, Resolvent, RightHandSide, rosenbrock_step
from .runge_kutta import runge_kutta_step
from .scheme import SCHEMES, Advanced, Scheme
from .stabilised import (
    chebyshev_error,
    chebyshev_step,
    first_node,
    largest_step,
    spectral_radius,
    stages_for,
)
from .tableau import TABLEAUX, Tableau

__all__ = [
    "GAMMA",
    "SCHEMES",
    "TABLEAUX",
    "Advanced",
    "Controller",
    "FixedStep",
    "PIController",
    "Resolvent",
    "RightHandSide",
    "Scheme",
    "Tableau",
    "Verdict",
    "chebyshev_error",
    "chebyshev_step",
    "first_node",
    "largest_step",
    "rosenbrock_step",
    "runge_kutta_step",
    "spectral_radius",
    "stages_for",
]
