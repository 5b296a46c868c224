"""Interaction energies ½ ∬ J(x−y) ρ(x) ρ(y): kernels, and the routes by which they are summed."""

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
