"""Wasserstein gradient flows by parameterised push-forward maps, on many processors.

import hpc_wgf as wgf

problem = wgf.Problem(
    [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.5
)
map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 64))
run = wgf.solve(problem, map, wgf.PWGFOptions(samples=2000), wgf.Output("st.zarr"))
print(run.summary.map_error_relative)
"""

from .names_on_demand import names_on_demand

# `python -m hpc_wgf` runs this while modules are still sought in the working folder first: what is
# imported here must be there already. Type checkers take the name to be true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .analysis import Consolidated, Trajectory, consolidate
    from .choices import Features, Form, PairSums, Route, Sampling, ToleranceUnit
    from .config import RunSpec, default_map, load_problem
    from .errors import InputError, RunError, WgfError
    from .interactions import GaussianKernel, InteractionEnergy, PowerLaw, UserKernel
    from .maps import (
        Affine,
        AxisSpline,
        BlockFlow,
        Composition,
        ConvexGradient,
        ModuleMap,
        NeuralODE,
        PlanarFlow,
        PushForward,
        RadialBasis,
        RadialFlow,
        RealNVP,
        ResidualPerceptron,
        SoftmaxGates,
    )
    from .methods.deep_jko import DeepJKOOptions
    from .methods.implicit import ImplicitOptions
    from .methods.primal_dual import PrimalDualOptions
    from .methods.pwgf import PWGFOptions
    from .output import Output
    from .parallel import distributed
    from .problems import (
        Barenblatt,
        Box,
        CovarianceMobility,
        DistributionDensity,
        DoubleWell,
        Entropy,
        FermiEntropy,
        Gaussian,
        GaussianMixture,
        InternalEnergy,
        LinearDrift,
        MatrixMobility,
        Mixture,
        MobilityFunction,
        MovingPotentialEnergy,
        Paraboloid,
        PotentialEnergy,
        Problem,
        Quadratic,
        Rosenbrock,
        SampleStart,
        SampleTarget,
        Saturating,
        StyblinskiTang,
        UserMobility,
        UserMovingPotential,
        UserPotential,
    )
    from .report import Summary
    from .results import Run, open_run
    from .solution import Solution, solve
    from .stages import Stages
    from .store import StoredRun, load_map, save_map
else:
    __getattr__ = names_on_demand(__name__, [
        "errors", "choices", "output", "stages", "methods.implicit", "methods.pwgf",
        "methods.primal_dual", "methods.deep_jko", "config", "problems", "interactions", "maps",
        "parallel", "report", "solution", "results", "store", "analysis",
    ])  # fmt: skip

__all__ = [
    "Affine",
    "AxisSpline",
    "Barenblatt",
    "BlockFlow",
    "Box",
    "Composition",
    "Consolidated",
    "ConvexGradient",
    "CovarianceMobility",
    "DeepJKOOptions",
    "DistributionDensity",
    "DoubleWell",
    "Entropy",
    "Features",
    "FermiEntropy",
    "Form",
    "Gaussian",
    "GaussianKernel",
    "GaussianMixture",
    "ImplicitOptions",
    "InputError",
    "InteractionEnergy",
    "InternalEnergy",
    "LinearDrift",
    "MatrixMobility",
    "Mixture",
    "MobilityFunction",
    "ModuleMap",
    "MovingPotentialEnergy",
    "NeuralODE",
    "Output",
    "PWGFOptions",
    "PairSums",
    "Paraboloid",
    "PlanarFlow",
    "PotentialEnergy",
    "PowerLaw",
    "PrimalDualOptions",
    "Problem",
    "PushForward",
    "Quadratic",
    "RadialBasis",
    "RadialFlow",
    "RealNVP",
    "ResidualPerceptron",
    "Rosenbrock",
    "Route",
    "Run",
    "RunError",
    "RunSpec",
    "SampleStart",
    "SampleTarget",
    "Sampling",
    "Saturating",
    "SoftmaxGates",
    "Solution",
    "Stages",
    "StoredRun",
    "StyblinskiTang",
    "Summary",
    "ToleranceUnit",
    "Trajectory",
    "UserKernel",
    "UserMobility",
    "UserMovingPotential",
    "UserPotential",
    "WgfError",
    "consolidate",
    "default_map",
    "distributed",
    "load_map",
    "load_problem",
    "open_run",
    "save_map",
    "solve",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
