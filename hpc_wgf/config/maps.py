"""Push-forward maps: the tables of `[[map]]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..errors import InputError
from ..fields import Flag, Whole, shown
from ..memory import machine_memory
from ..user_code import called, said
from .imports import ImportPath, load_object
from .linear_maps import (
    AffineTable,
    PeriodicTable,
    RadialTable,
    RbfTable,
    ScalingTable,
    SoftmaxTable,
    SplineTable,
)
from .table import Table
from .tanh_maps import (
    BlockTable,
    ConvexTable,
    NeuralOdeTable,
    PerceptronTable,
    PlanarTable,
    RealNvpTable,
)

if TYPE_CHECKING:
    from ..maps import ModuleMap, PushForward
    from ..problems import Problem


class ModuleTable(Table):
    """A torch module of your own, which maps (n, d) to (n, d)."""

    kind: Literal["module"]
    """Tag that selects this map."""
    factory: ImportPath
    """Import path "module:name" of a class or function that takes d and returns the module."""
    anchored: Flag = False
    """Whether the map is z + N_θ(z) − N_θ₀(z), N the module and θ₀ its initial parameters, in place
    of N_θ(z): it is then the identity at the start."""
    seed: Whole = 0
    """Seed of torch's random numbers while the module is made."""

    def parameters(self, dimension: int) -> int:
        return 0  # known only once it has been made

    def build(self, problem: Problem) -> ModuleMap:
        import torch
        from torch import nn

        from ..maps import ModuleMap

        factory = load_object(self.factory, "a module")
        torch.manual_seed(self.seed)  # Every rank must get the same initial parameters.
        try:
            module = called(self.factory, factory, problem.dimension)
        except Exception as error:
            raise InputError(
                f"{self.factory} could not make a module for the dimension "
                f"{problem.dimension}: {said(error)}"
            ) from error
        if not isinstance(module, nn.Module):
            raise InputError(
                f"{self.factory} returned a {type(module).__name__}, expected a torch.nn.Module"
            )
        return ModuleMap(problem.dimension, module, anchored=self.anchored)


MapTable = Annotated[
    AffineTable
    | ScalingTable
    | SplineTable
    | PeriodicTable
    | RadialTable
    | RbfTable
    | SoftmaxTable
    | PlanarTable
    | BlockTable
    | PerceptronTable
    | NeuralOdeTable
    | RealNvpTable
    | ConvexTable
    | ModuleTable,
    Field(discriminator="kind"),
]
"""A table of `[[map]]`, told apart by its `kind`."""


_VECTORS = 12  # of θ's length that a step of the cheapest scheme and its solves hold, about


def check_size(tables: Sequence[MapTable], dimension: int, itemsize: int) -> None:
    """Errors: `InputError` where the vectors of as many numbers as the maps have parameters, of
    which every rank has several, are larger than the memory of this machine. `itemsize`: bytes of
    a number."""
    sizes = [table.parameters(dimension) for table in tables]
    needed = _VECTORS * itemsize * sum(sizes)
    memory = machine_memory()
    if needed > memory:
        k = sizes.index(max(sizes))
        raise InputError(
            f"map.{k} = {shown(tables[k].model_dump(exclude_defaults=True))} has {sizes[k]:.3g} "
            f"parameters in dimension {dimension}: a step takes {needed / 2**30:.3g} GiB for them "
            f"on every rank, and this machine has {memory / 2**30:.3g}: take a smaller map"
        )


def build_map(tables: Sequence[MapTable], problem: Problem) -> PushForward:
    """The map that the tables describe: one, or the composition of several, of which the first acts
    first. Errors: `InputError` naming what does not fit."""
    from ..maps import Composition
    from ..maps.radial import overlapping

    parts = [table.build(problem) for table in tables]
    if (pair := overlapping(parts)) is not None:
        i, j = pair
        raise InputError(
            f"map.{j}: the centre of this radial layer lies within the radius of map.{i}, which "
            "moves it away: give smaller radii, or where the components meet take other maps "
            "(affine and block)"
        )
    return parts[0] if len(parts) == 1 else Composition(*parts)
