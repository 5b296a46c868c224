"""Interaction energies ½ ∬ J(x−y) ρ(x) ρ(y): kernels, and the ways of summing over pairs."""

from .energy import InteractionEnergy
from .kernels import GaussianKernel, Kernel, PowerLaw, UserKernel
from .particles import Field, Particles

__all__ = [
    "Field",
    "GaussianKernel",
    "InteractionEnergy",
    "Kernel",
    "Particles",
    "PowerLaw",
    "UserKernel",
]
