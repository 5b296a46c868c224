"""What is solved: energies, start densities and exact solutions, and the run files of named
problems (in the folder catalogue)."""

from .blockwise import block_draw, evaluated, fill, is_blockwise
from .carried import CarriedDensity, as_carried, cloud_of, origin_of
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
from .drift import Drift, LinearDrift, UserDrift
from .elliptic import EllipticInverse
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
from .fermi import FermiEntropy
from .fermi_flow import FermiFlow
from .flow import Flow, Motion
from .gaussian_flow import GaussianFlow
from .inverse_transform import InverseTransform, inverse_transform
from .lattices import Cosine, Walls
from .linear_flow import GaussianLaw, KalmanFlow, LinearFlow
from .mixture_flow import MixtureFlow, mixture_law
from .mobility import (
    CovarianceMobility,
    MatrixMobility,
    Mobility,
    MobilityFunction,
    Saturating,
    UserMobility,
)
from .modes import Modes, find_modes
from .moving import MovingPotential, MovingPotentialEnergy, MovingTrap, UserMovingPotential
from .named_potentials import DoubleWell, GaussianMixture, Quadratic, Rosenbrock, StyblinskiTang
from .potentials import (
    Potential,
    SumOfPotentials,
    UserPotential,
    is_separable,
    with_hessian,
)
from .pressures import pressures, without_pressure
from .problem import Problem
from .product import Product
from .proposal import proposal_of, round_circles
from .residual import no_error_bound, residual_is_defined
from .sample_start import SampleStart
from .sample_target import SampleTarget
from .saturating_flow import SaturatingFlow
from .self_similar import BarenblattFlow
from .separable import SeparableFlow
from .turned import TurnedFlow
from .wrapped import Wrapped

__all__ = [
    "Barenblatt",
    "BarenblattFlow",
    "Box",
    "CarriedDensity",
    "CharacteristicFlow",
    "ChunkForce",
    "Cosine",
    "CovarianceMobility",
    "Density",
    "DistributionDensity",
    "DoubleWell",
    "Drift",
    "EllipticInverse",
    "Energy",
    "Entropy",
    "ExactMap",
    "FermiEntropy",
    "FermiFlow",
    "Flow",
    "Gaussian",
    "GaussianFlow",
    "GaussianLaw",
    "GaussianMixture",
    "InternalEnergy",
    "InverseTransform",
    "KalmanFlow",
    "LinearDrift",
    "LinearFlow",
    "LocalEnergy",
    "MatrixMobility",
    "Mixture",
    "MixtureFlow",
    "Mobility",
    "MobilityFunction",
    "Modes",
    "Motion",
    "MovingPotential",
    "MovingPotentialEnergy",
    "MovingTrap",
    "Paraboloid",
    "Potential",
    "PotentialEnergy",
    "Problem",
    "Product",
    "Quadratic",
    "Rosenbrock",
    "SampleStart",
    "SampleTarget",
    "Saturating",
    "SaturatingFlow",
    "SeparableFlow",
    "StyblinskiTang",
    "SumOfEnergies",
    "SumOfPotentials",
    "TurnedFlow",
    "UserDrift",
    "UserMobility",
    "UserMovingPotential",
    "UserPotential",
    "Walls",
    "Wrapped",
    "as_carried",
    "block_draw",
    "cloud_of",
    "components_of",
    "evaluated",
    "exact_map",
    "fill",
    "find_modes",
    "inverse_transform",
    "is_blockwise",
    "is_known",
    "is_separable",
    "jump_of",
    "mixture_law",
    "moments_of",
    "no_error_bound",
    "origin_of",
    "potentials_of",
    "pressures",
    "proposal_of",
    "residual_is_defined",
    "round_circles",
    "with_hessian",
    "without_pressure",
]
