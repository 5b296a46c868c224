"""Push-forward maps T_θ: samples, volumes, scores and cached linearisations."""

from .affine import Affine
from .architecture import described, described_built_in, kinds_of, rebuilt
from .base import PushForward, Transported, flatten
from .block import BlockFlow
from .chunk import Matrices
from .composition import Composition
from .convex import ConvexGradient
from .frame import Frame
from .layer import ParameterLayer
from .linear import LinearFeatures
from .linearization import Linearization, Linearizer, budget_on
from .module import ModuleMap
from .neural_ode import NeuralODE
from .perceptron import ResidualPerceptron
from .periodic import PeriodicMap
from .planar import PlanarFlow
from .radial import RadialFlow
from .radial_basis import RadialBasis
from .real_nvp import RealNVP
from .softmax import SoftmaxGates
from .spline import AxisSpline
from .state import MapState, Stage, behind_stages, carried_by, carry
from .velocity_flow import VelocityFlow, rebuilt_network

__all__ = [
    "Affine",
    "AxisSpline",
    "BlockFlow",
    "Composition",
    "ConvexGradient",
    "Frame",
    "LinearFeatures",
    "Linearization",
    "Linearizer",
    "MapState",
    "Matrices",
    "ModuleMap",
    "NeuralODE",
    "ParameterLayer",
    "PeriodicMap",
    "PlanarFlow",
    "PushForward",
    "RadialBasis",
    "RadialFlow",
    "RealNVP",
    "ResidualPerceptron",
    "SoftmaxGates",
    "Stage",
    "Transported",
    "VelocityFlow",
    "behind_stages",
    "budget_on",
    "carried_by",
    "carry",
    "described",
    "described_built_in",
    "flatten",
    "kinds_of",
    "rebuilt",
    "rebuilt_network",
]
