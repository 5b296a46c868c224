"""Methods: each advances a state by one step on a problem."""

from .base import Measurement, Method, Slope, State, StepFailed, StepResult
from .pwgf import PWGF, Form, PWGFOptions

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
