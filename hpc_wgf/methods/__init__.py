"""Methods: each advances a state by one step on a problem."""

from .base import Measurement, Method, Slope, State, StepFailed, StepResult
from .options import Form, PWGFOptions
from .pwgf import PWGF

__all__ = [
    "PWGF",
    "Form",
    "Measurement",
    "Method",
    "PWGFOptions",
    "Slope",
    "State",
    "StepFailed",
    "StepResult",
]
