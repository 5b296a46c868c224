"""What a store says of its run."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from ..checks import learned_digest
from ..choices import Stream
from ..columns import Column
from ..diagnostics import ErrorMonitor, Judge
from ..maps import kinds_of
from ..methods.base import Method, MethodOptions, Setting
from ..problems import Problem, is_known, no_error_bound
from ..stages import Stages
from .layout import Layout
from .loop import COLUMNS


@dataclass(frozen=True)
class Identity:
    """Everything that decides a trajectory, bound together before the run begins."""

    setting: Setting
    """Problem, map, ranks and samples."""
    options: MethodOptions
    """Of the method."""
    method: Method[Any]
    """The method at work."""
    layout: Layout
    """Of rows and stored samples."""
    configuration: Mapping[str, Any] | None
    """The run file's tables, where the run comes from one."""
    stages: object
    """What decides on stages."""

    @property
    def columns(self) -> Sequence[Column]:
        """All figures of the run."""
        of_errors = ErrorMonitor.columns if self.layout.bound else ()
        return [*COLUMNS, *Judge.columns, *of_errors, *self.method.columns]

    def attributes(self) -> dict[str, Any]:
        """What the store says of the run."""
        problem, map = self.setting.problem, self.setting.map
        return {
            "problem": problem.name,
            "dimension": problem.dimension,
            "until": problem.until,
            "ranks": self.setting.communicator.size,
            "samples": self.options.samples,
            "map": kinds_of(map),
            "map_chosen": self._map_is_chosen,
            "parameters": map.parameter_count(),
            "energy_may_rise": problem.energy_may_rise,
            "bound_left_out": no_error_bound(problem) or None,
            "interaction_routes": self.routes(),
            **self.method.description(),
            "density_known": is_known(problem.start),
            "left_out_of_energy": problem.left_out_of_energy,
            "learned_digest": learned_digest(problem),
            "layout": self.layout.as_attributes(),
            "configuration": None if self.configuration is None else dict(self.configuration),
            "objects": self.described(),
            "versions": {
                **{name: version(name) for name in ("hpc-wgf", "torch", "numpy", "zarr")},
                "python": platform.python_version(),
            },
        }

    @property
    def _map_is_chosen(self) -> bool:
        """Whether the map is that of the problem, as the run file names none."""
        of_method = hasattr(self.options, "own_map")
        named = self.configuration is None or self.configuration.get("map") is not None
        return not (of_method or named)

    def routes(self) -> list[str]:
        """How each sum over pairs is taken, on the steps' samples and on the evaluation sample."""
        numbers = (self.options.samples, self.setting.evaluation.ensemble.total)
        interactions = self.setting.problem.energy.interactions
        both = [[part.route_for(n).value for n in numbers] for part in interactions]
        return [steps if steps == seen else f"{steps} (rows: {seen})" for steps, seen in both]

    def described(self) -> dict[str, str]:
        """Everything that decides the trajectory, in words; the end of the run does not."""
        problem, map = self.setting.problem, self.setting.map
        beyond: dict[str, object] = {"mobility": problem.mobility, "drift": problem.drift}
        if problem.mobility is not None:
            beyond["inner product"] = problem.inner_product
        if self.options.stream is not Stream.NUMPY:
            beyond["stream"] = self.options.stream
        beyond |= getattr(self.options, "later", {})
        return {
            "energy": repr(problem.energy),
            "start density": repr(problem.start),
            "start time": repr(problem.start_time),
            **{name: repr(value) for name, value in beyond.items() if value is not None},
            "map": repr(map),
            "map's buffers": _digest(map.buffers()),
            "method": repr(self.options),
            # The repr of an object of one's own would tell where it lies in memory.
            "stages": repr(self.stages) if isinstance(self.stages, Stages) else "by one's own rule",
        }


def extended(configuration: Mapping[str, Any] | None, problem: Problem) -> dict[str, Any] | None:
    """The configuration with which a stored run began, with the present end."""
    if configuration is None:
        return None
    ending = {**configuration["problem"], "until": problem.until}
    return {**configuration, "problem": ending}


def _digest(tensors: Iterable[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
