"""What is solved: energies, start densities, exact solutions, the catalogue of run files."""

from .densities import Density, Gaussian, Mixture
from .energies import Cloud, Energy, Entropy, PotentialEnergy, SumOfEnergies
from .exact import ExactMap, GaussianFlow, SeparableFlow
from .potentials import (
    GaussianMixture,
    Potential,
    Quadratic,
    Rosenbrock,
    StyblinskiTang,
    SumOfPotentials,
    UserPotential,
)
from .problem import Problem

__all__ = [
    "Cloud",
    "Density",
    "Energy",
    "Entropy",
    "ExactMap",
    "Gaussian",
    "GaussianFlow",
    "GaussianMixture",
    "Mixture",
    "Potential",
    "PotentialEnergy",
    "Problem",
    "Quadratic",
    "Rosenbrock",
    "SeparableFlow",
    "StyblinskiTang",
    "SumOfEnergies",
    "SumOfPotentials",
    "UserPotential",
]
