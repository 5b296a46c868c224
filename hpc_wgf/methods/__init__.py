"""Methods: each advances a state by one step on a problem."""

from ..metric import Preconditioning
from .base import Measurement, Method, State, StepFailed, StepResult, Velocity
from .options import Form, PWGFOptions, Solver
from .pwgf import PWGF

__all__ = [
    "PWGF",
    "Form",
    "Measurement",
    "Method",
    "PWGFOptions",
    "Preconditioning",
    "Solver",
    "State",
    "StepFailed",
    "StepResult",
    "Velocity",
]
