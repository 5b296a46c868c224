"""What is solved: energies, start densities and exact solutions, and the run files of named
problems (in the folder catalogue)."""

from .characteristics import CharacteristicFlow
from .compact import Barenblatt, Box, Paraboloid
from .densities import (
    Density,
    Gaussian,
    Mixture,
    components_of,
    is_known,
    jump_of,
    moments_of,
)
from .distributions import DistributionDensity
from .energies import (
    ChunkForce,
    Energy,
    Entropy,
    InternalEnergy,
    LocalEnergy,
    PotentialEnergy,
    SumOfEnergies,
    potentials_of,
)
from .exact import ExactMap, exact_map
from .gaussian_flow import GaussianFlow
from .inverse_transform import InverseTransform, inverse_transform
from .lattices import Cosine, Walls
from .mixture_flow import MixtureFlow, mixture_law
from .modes import Modes, find_modes
from .named_potentials import (
    DoubleWell,
    GaussianMixture,
    Quadratic,
    Rosenbrock,
    StyblinskiTang,
)
from .potentials import (
    Potential,
    SumOfPotentials,
    UserPotential,
    is_separable,
    with_hessian,
)
from .problem import Problem
from .proposal import proposal_of
from .residual import residual_is_defined
from .sample_start import SampleStart
from .sample_target import SampleTarget
from .self_similar import BarenblattFlow
from .separable import SeparableFlow
from .turned import TurnedFlow
from .wrapped import Wrapped

__all__ = [
    "Barenblatt",
    "BarenblattFlow",
    "Box",
    "CharacteristicFlow",
    "ChunkForce",
    "Cosine",
    "Density",
    "DistributionDensity",
    "DoubleWell",
    "Energy",
    "Entropy",
    "ExactMap",
    "Gaussian",
    "GaussianFlow",
    "GaussianMixture",
    "InternalEnergy",
    "InverseTransform",
    "LocalEnergy",
    "Mixture",
    "MixtureFlow",
    "Modes",
    "Paraboloid",
    "Potential",
    "PotentialEnergy",
    "Problem",
    "Quadratic",
    "Rosenbrock",
    "SampleStart",
    "SampleTarget",
    "SeparableFlow",
    "StyblinskiTang",
    "SumOfEnergies",
    "SumOfPotentials",
    "TurnedFlow",
    "UserPotential",
    "Walls",
    "Wrapped",
    "components_of",
    "exact_map",
    "find_modes",
    "inverse_transform",
    "is_known",
    "is_separable",
    "jump_of",
    "mixture_law",
    "moments_of",
    "potentials_of",
    "proposal_of",
    "residual_is_defined",
    "with_hessian",
]
