"""Runge–Kutta schemes as data, one step for all of them, and step-size controllers."""

from .controller import Controller, FixedStep, PIController, Verdict
from .runge_kutta import runge_kutta_step
from .tableau import TABLEAUX, Tableau

__all__ = [
    "TABLEAUX",
    "Controller",
    "FixedStep",
    "PIController",
    "Tableau",
    "Verdict",
    "runge_kutta_step",
]
