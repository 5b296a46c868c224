"""One of every kind of map, in a few dimensions."""

from __future__ import annotations

from torch import nn

from hpc_wgf.choices import Features
from hpc_wgf.maps import (
    Affine,
    AxisSpline,
    BlockFlow,
    Composition,
    ConvexGradient,
    ModuleMap,
    NeuralODE,
    PeriodicMap,
    PlanarFlow,
    PushForward,
    RadialBasis,
    RadialFlow,
    RealNVP,
    ResidualPerceptron,
    SoftmaxGates,
    VelocityFlow,
)
from hpc_wgf.maps.potential_velocities import PotentialVelocity, ResidualPotential
from hpc_wgf.maps.scaling import Scaling
from hpc_wgf.maps.velocity_networks import BlockVelocity
from hpc_wgf.periods import Periods

D = 4
COVARIANCE = [[2.0, 0.5, 0, 0], [0.5, 1.0, 0, 0.2], [0, 0, 1.5, 0], [0, 0.2, 0, 0.7]]
CENTRES = [[1.0, -0.5, 0.2, 0.1], [-1.2, 0.4, 0.8, -0.3], [0.3, 1.5, -1.0, 0.6]]
CIRCLES = Periods((20.0, 0.0, 0.0, 30.0))


class Net(nn.Module):
    """A user's own."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(dimension, 7), nn.Tanh(), nn.Linear(7, dimension))

    def forward(self, z):
        return self.inner(z)


MAPS = {
    "affine": lambda: Affine(D),
    "scaling": lambda: Scaling(D),
    "planar": lambda: PlanarFlow(D, 6),
    "planar-axis": lambda: PlanarFlow(D, 9, features=Features.AXIS),
    "block-wide": lambda: BlockFlow(D, 11),
    "block-narrow": lambda: BlockFlow(D, 3),
    "block-axis": lambda: BlockFlow(D, 8, features=Features.AXIS),
    "spline": lambda: AxisSpline(D, 7, low=-1.5, high=2.0),
    "periodic": lambda: PeriodicMap(CIRCLES, 1, 3),
    "periodic-alone": lambda: PeriodicMap(Periods((20.0,) * D), 2),
    "radial": lambda: RadialFlow(D, 6, centre=0.2, radius=2.5),
    "radial-correlated": lambda: RadialFlow(D, 5, radius=3.0, covariance=COVARIANCE),
    "rbf": lambda: RadialBasis(D, centres=CENTRES, width=1.3),
    "softmax": lambda: SoftmaxGates(D, CENTRES, variance=1.5, scales=[1.0, 0.3], present=0),
    "softmax-weights": lambda: SoftmaxGates(D, CENTRES, variance=1.5, weights=[1, 4, 0.5]),
    "softmax-clusters": lambda: SoftmaxGates(D, present=3),
    "perceptron-1": lambda: ResidualPerceptron(D, (9,)),
    "perceptron-3": lambda: ResidualPerceptron(D, (9, 8, 7), chunk=11),
    "neural-ode": lambda: NeuralODE(D, 3, steps=4),
    "neural-ode-narrow": lambda: NeuralODE(D, 3, steps=4, linear=False),
    "neural-ode-wide": lambda: NeuralODE(D, 30, steps=4, linear=False),
    "velocity-flow": lambda: VelocityFlow(BlockVelocity(D, 5), 2),
    "velocity-flow-potential": lambda: VelocityFlow(PotentialVelocity(D, 5), 2),
    "velocity-flow-residual": lambda: VelocityFlow(ResidualPotential(D, 5, 2), 2),
    "real-nvp": lambda: RealNVP(D, 3, 6),
    "convex": lambda: ConvexGradient(D, 6),
    "module": lambda: ModuleMap(D, Net(D), anchored=True, chunk=13),
    "composition": lambda: Composition(
        Affine(D), BlockFlow(D, 7), PlanarFlow(D, 3), ResidualPerceptron(D, (5, 6))
    ),
    "composition-scaling": lambda: Composition(Scaling(D), BlockFlow(D, 3), Scaling(D)),
    "composition-spline": lambda: Composition(AxisSpline(D, 5), Affine(D), AxisSpline(D, 6)),
    "composition-radial": lambda: Composition(
        RadialFlow(D, 4, centre=-0.5, radius=2.0), Affine(D), RadialFlow(D, 5)
    ),
    "composition-softmax": lambda: Composition(
        SoftmaxGates(D, CENTRES, variance=0.8),
        BlockFlow(D, 3),
        SoftmaxGates(D, CENTRES, variance=1),
    ),
    "composition-rbf": lambda: Composition(
        RadialBasis(D, centres=CENTRES, width=0.9), BlockFlow(D, 3), RadialBasis(D, centres=CENTRES)
    ),
    "composition-ode": lambda: Composition(Affine(D), NeuralODE(D, 3, steps=4), BlockFlow(D, 2)),
    "composition-convex": lambda: Composition(ConvexGradient(D, 3), RealNVP(D, 1, 4), Affine(D)),
    "composition-module": lambda: Composition(BlockFlow(D, 3), ModuleMap(D, Net(D), anchored=True)),
}


def with_exact_volumes(map: PushForward) -> PushForward:
    """The map with so many steps of its neural ODEs that log|det ∇T| is exact, to 1e-12."""
    for part in map.modules():
        if isinstance(part, NeuralODE | VelocityFlow):
            part.steps = 32
    return map
