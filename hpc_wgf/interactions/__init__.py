"""Interaction energies ½ ∬ J(x−y) ρ(x) ρ(y): kernels, and the ways of summing over pairs."""

from .energy import InteractionEnergy
from .exponentials import Morse, ScreenedCoulomb
from .keops import fastest_sums
from .kernels import GaussianKernel, Kernel, PairKernel, Power, PowerLaw
from .particles import Field, Particles
from .softened import Softened
from .user_kernels import NonradialKernel, UserKernel

__all__ = [
    "Field",
    "GaussianKernel",
    "InteractionEnergy",
    "Kernel",
    "Morse",
    "NonradialKernel",
    "PairKernel",
    "Particles",
    "Power",
    "PowerLaw",
    "ScreenedCoulomb",
    "Softened",
    "UserKernel",
    "fastest_sums",
]
