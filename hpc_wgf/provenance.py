"""What a store says of its run, and whether a run that is to go on is the one it holds."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from .errors import InputError
from .interactions import Route
from .methods import PWGF, State, StepFailed
from .parallel import agreed
from .problems import Problem
from .store import Checkpoint, StoredRun

_TF32 = 2.0**-10  # its epsilon: a run may go on where there is no GPU


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
        "map's buffers": _digest(runner.map.buffers()),
        "method": repr(runner.options),
    }


def _digest(tensors: Iterable[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_same_run(
    problem: Problem, stored: StoredRun, runner: PWGF, configuration: Mapping[str, Any] | None
) -> None:
    """Errors: `InputError` where going on would not be the same run."""
    given, kept = _described(problem, runner), stored.attributes["objects"]
    other = [
        f"{name}: stored {kept[name]}, given {given[name]}"
        for name in kept
        if kept[name] != given[name]
    ]
    other += _otherwise_configured(stored.attributes["configuration"], configuration)
    if stored.rows:
        initial = torch.from_numpy(stored.theta(0))
        theta0 = runner.map.get_theta().cpu()
        if initial.shape != theta0.shape or not torch.equal(initial, theta0):
            other.append(
                f"initial parameters: stored {initial.numel()}, given {theta0.numel()}, "
                "not the same"
            )
    if other:
        raise InputError(
            f"{stored.path} holds another run, which cannot be resumed as this one:\n  "
            + "\n  ".join(other)
        )
    time = float(stored.last("time")) if stored.rows else problem.start_time
    if problem.until < time:
        raise InputError(
            f"{stored.path} has already reached t = {time:g}: resume it to a later time than "
            f"{problem.until:g}"
        )


def _otherwise_configured(
    stored: Mapping[str, Any] | None, given: Mapping[str, Any] | None
) -> list[str]:
    """What is stored otherwise than a run file says, but for the end of the run."""
    if stored is None or given is None:
        return []
    other = [
        f"{table}.{key}: stored {stored[table].get(key)}, given {value}"
        for table in ("problem", "method", "output")
        for key, value in given[table].items()
        if (table, key) != ("problem", "until") and stored[table].get(key) != value
    ]
    if stored["map"] != given["map"]:
        other.append(f"map: stored {stored['map']}, given {given['map']}")
    return other


def check_same_values(stored: StoredRun, runner: PWGF) -> None:
    """Whether the map and the energy give at the last stored row what they gave then: names do not
    tell whether a user's function is still the same. Collective.

    Errors: `InputError` where particles or energy differ by more than rounding."""
    if stored.rows == 0:
        return
    with agreed(runner.communicator):
        theta = torch.from_numpy(stored.theta(-1)).to(runner.communicator.device)
        kept = np.asarray(stored.group["particles"][stored.rows - 1, runner.evaluation.span])
        before = float(stored.last("energy"))
    try:
        seen = runner.evaluate_map(theta)
    except StepFailed as failure:
        raise InputError(_other_values(stored, f"there {failure}")) from failure
    with agreed(runner.communicator):
        options = runner.options
        rounding = (_TF32 if options.tf32 else torch.finfo(options.dtype).eps) ** 0.5
        apart = np.abs(seen.x.cpu().numpy() - kept).max(initial=0.0)
        if not apart <= rounding * (1.0 + np.abs(kept).max(initial=0.0)):
            raise InputError(
                _other_values(stored, f"the map now puts its samples up to {apart:.3g} elsewhere")
            )
        # Batches hold more particles on a GPU, where the run may have begun.
        estimated = Route.BATCHES.value in " ".join(_routes(runner.problem, runner))
        if not estimated and not abs(seen.energy - before) <= rounding * (1.0 + abs(before)):
            raise InputError(
                _other_values(stored, f"its energy was {before:.9g} and now is {seen.energy:.9g}")
            )


def _other_values(stored: StoredRun, found: str) -> str:
    return (
        f"{stored.path} holds another run: at its last row, t = {float(stored.last('time')):g}, "
        f"{found}. Give the map, the energy and the start with which it began"
    )


def last_checkpoint(stored: StoredRun, until: float) -> Checkpoint | None:
    """Where the stored run can be taken up to go to `until`: where it was stopped, or else at its
    last row. None where it has no row. Errors: `InputError` for a damaged checkpoint."""
    if stored.rows == 0:
        return None
    checkpoint = Checkpoint.read(stored.path, stored.rows)
    if checkpoint is not None and checkpoint.time <= until:
        return checkpoint
    return Checkpoint(
        time=float(stored.last("time")),
        step=int(stored.last("steps_taken")),
        step_size=float(stored.last("next_step_size")),
        last_error=float(stored.last("controller_error")),
        wall_seconds=float(stored.last("wall_seconds")),
        theta=stored.theta(-1),
    )


def state_at(checkpoint: Checkpoint, runner: PWGF) -> State:
    """The state that was kept; collective, as what its solves remember is made again."""
    return State(
        time=checkpoint.time,
        theta=torch.from_numpy(checkpoint.theta).to(runner.communicator.device),
        step=checkpoint.step,
        step_size=checkpoint.step_size,
        last_error=checkpoint.last_error,
        memory=runner.load_state_dict(checkpoint.memory),
    )
