"""Methods: each advances a state by one step on a problem."""

from typing import TYPE_CHECKING

from ..names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .base import Measurement, Method, State, StepFailed, StepResult, Velocity
    from .options import PWGFOptions
    from .pwgf import PWGF
else:  # the options are a table of run files, which need no torch
    __getattr__ = names_on_demand(__name__, ["options", "base", "pwgf"])

__all__ = [
    "PWGF",
    "Measurement",
    "Method",
    "PWGFOptions",
    "State",
    "StepFailed",
    "StepResult",
    "Velocity",
]
