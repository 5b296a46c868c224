"""Wasserstein gradient flows by parameterised push-forward maps, on many processors.

import hpc_wgf as wgf

problem = wgf.Problem(
    [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.5
)
map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 64))
run = wgf.solve(problem, map, wgf.PWGFOptions(samples=2000), wgf.Output("st.zarr"))
print(run.summary.map_error_relative)
"""

from .errors import InputError, RunError, WgfError
from .interactions import GaussianKernel, InteractionEnergy, PowerLaw, Route, UserKernel
from .maps import (
    Affine,
    BlockFlow,
    Composition,
    Features,
    ModuleMap,
    PlanarFlow,
    PushForward,
    ResidualPerceptron,
)
from .methods.options import Form, PWGFOptions
from .named import named
from .output import Output
from .parallel import distributed
from .problems import (
    Barenblatt,
    Box,
    Entropy,
    Gaussian,
    GaussianMixture,
    InternalEnergy,
    Mixture,
    Paraboloid,
    PotentialEnergy,
    Problem,
    Quadratic,
    Rosenbrock,
    StyblinskiTang,
    UserPotential,
)
from .report import Summary
from .solve import Solution, solve
from .store import StoredRun, open_run

__all__ = [
    "Affine",
    "Barenblatt",
    "BlockFlow",
    "Box",
    "Composition",
    "Entropy",
    "Features",
    "Form",
    "Gaussian",
    "GaussianKernel",
    "GaussianMixture",
    "InputError",
    "InteractionEnergy",
    "InternalEnergy",
    "Mixture",
    "ModuleMap",
    "Output",
    "PWGFOptions",
    "Paraboloid",
    "PlanarFlow",
    "PotentialEnergy",
    "PowerLaw",
    "Problem",
    "PushForward",
    "Quadratic",
    "ResidualPerceptron",
    "Rosenbrock",
    "Route",
    "RunError",
    "Solution",
    "StoredRun",
    "StyblinskiTang",
    "Summary",
    "UserKernel",
    "UserPotential",
    "WgfError",
    "distributed",
    "named",
    "open_run",
    "solve",
]
