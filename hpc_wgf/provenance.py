"""What a store says of its run, and whether a run that is to go on is the one it holds."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from .errors import InputError
from .methods import PWGF, State
from .problems import Problem
from .store import SCHEMA_VERSION, StoredRun


def run_attributes(
    problem: Problem, runner: PWGF, layout: Mapping[str, Any],
    configuration: Mapping[str, Any] | None, stored: StoredRun | None,
) -> dict[str, Any]:  # fmt: skip
    """What the store says of the run. A resumed run keeps the configuration that it began with,
    but for its end."""
    if configuration is None and stored is not None:
        configuration = stored.attributes["configuration"]
        if configuration is not None:
            ending = {**configuration["problem"], "until": problem.until}
            configuration = {**configuration, "problem": ending}
    return {
        "problem": problem.name,
        "dimension": problem.dimension,
        "until": problem.until,
        "ranks": runner.communicator.size,
        "samples": runner.options.samples,
        "parameters": runner.map.parameter_count(),
        "interaction_routes": _routes(problem, runner),
        "preconditioner": runner.preconditioner.value,
        "layout": dict(layout),
        "configuration": None if configuration is None else dict(configuration),
        "objects": _described(problem, runner),
        "versions": {
            **{name: version(name) for name in ("hpc-wgf", "torch", "numpy", "zarr")},
            "python": platform.python_version(),
        },
    }


def _routes(problem: Problem, runner: PWGF) -> list[str]:
    """How each sum over pairs is taken, on the steps' samples and on the evaluation sample."""
    numbers = (runner.options.samples, runner.evaluation.samples.total)
    both = [[part.route_for(n).value for n in numbers] for part in problem.energy.interactions]
    return [steps if steps == seen else f"{steps} (rows: {seen})" for steps, seen in both]


def _described(problem: Problem, runner: PWGF) -> dict[str, str]:
    """Everything that decides the trajectory, in words; the end of the run does not."""
    return {
        "energy": repr(problem.energy),
        "start density": repr(problem.start),
        "start time": repr(problem.start_time),
        "map": repr(runner.map),
        "method": repr(runner.options),
    }


def stored_state(problem: Problem, stored: StoredRun, runner: PWGF) -> tuple[State, float]:
    """The state of the last committed row and the seconds spent up to it.

    Errors: `InputError` where going on would not be the same run.
    """
    if stored.attributes["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{stored.path} was written by an older version (schema "
            f"{stored.attributes['schema_version']}): it can be read, not resumed. "
            "Resume it with the version that wrote it, or run it again into a new store"
        )
    given, kept = _described(problem, runner), stored.attributes["objects"]
    other = [
        f"{name}: stored {kept[name]}, given {given[name]}"
        for name in kept
        if kept[name] != given[name]
    ]
    initial = torch.from_numpy(stored.column("theta")[0])
    theta0 = runner.map.get_theta().cpu()
    if initial.shape != theta0.shape or not torch.equal(initial, theta0):
        other.append(
            f"initial parameters: stored {initial.numel()}, given {theta0.numel()}, not the same"
        )
    if other:
        raise InputError(
            f"{stored.path} holds another run, which cannot be resumed as this one:\n  "
            + "\n  ".join(other)
        )
    time = float(stored.last("time"))
    if problem.until < time:
        raise InputError(
            f"{stored.path} has already reached t = {time:g}: resume it to a later time than "
            f"{problem.until:g}"
        )
    state = State(
        time=time,
        theta=torch.from_numpy(np.asarray(stored.last("theta"))).to(runner.communicator.device),
        step=int(stored.last("steps_taken")),
        step_size=float(stored.last("next_step_size")),
        last_error=float(stored.last("controller_error")),
    )
    return state, float(stored.last("wall_seconds"))
