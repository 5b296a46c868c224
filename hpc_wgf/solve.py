"""One call from a problem to a verified trajectory, the same on one process and on many."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import InputError
from .loop import Schedule, integrate
from .maps import PushForward
from .methods import PWGF, PWGFOptions, State
from .observers import MemoryRecorder, Observer, Recorder, progress
from .parallel import Communicator, agreed, communicator_from_environment, describe
from .problems import Problem
from .report import Summary
from .store import RunWriter, StoredRun, StoreShape, open_run, refuse_existing


@dataclass(frozen=True)
class Output:
    """What is kept of a run.

    `path`: the Zarr store to make; None keeps figures in memory only. `every`: time between
    rows, None for a tenth of the run. `particles`: size of the stored evaluation sample, None for
    as many as the method's. `shards`: of the stored particles, None for 16 or the number of ranks.
    """

    path: Path | str | None = None
    every: float | None = None
    particles: int | None = None
    shards: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "particles", "shards"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"output.{name} must be positive, got {value}")


@dataclass(frozen=True)
class Solution:
    """A finished run: its figures, the map at the last time (`solution.map(z)` pushes new
    samples), and its store if there is one."""

    summary: Summary
    map: PushForward
    path: Path | None


def solve(
    problem: Problem,
    map: PushForward,
    method: PWGFOptions | None = None,
    output: Output | None = None,
    *,
    communicator: Communicator | None = None,
    resume: bool = False,
    show_progress: bool = False,
    configuration: Mapping[str, Any] | None = None,
) -> Solution:
    """Carry the start density of `problem` along its flow until `problem.until`.

    `map` itself is left as it is; the solution holds a copy. `communicator`: the ranks; found from
    the launcher's environment when None (a script for several ranks should run inside
    `with hpc_wgf.ranks() as communicator:`, so that a failure ends all with one message).
    `resume`: go on from the last committed row of `output.path` with the same problem, map and
    method, to the same or a later end.
    `configuration`: stored with the run in place of the objects' descriptions.

    Errors: `InputError` before any work for what cannot be carried out; `RunError` when a run
    that has begun cannot go on.
    """
    options, output = method or PWGFOptions(), output or Output()
    communicator = communicator or communicator_from_environment()
    stored: StoredRun | None = None
    with agreed(communicator):
        stored = _last_row(output.path) if resume else None
        if stored is None and output.path is not None:
            refuse_existing(Path(output.path))
        layout = _layout(problem, options, output, communicator, stored)
        runner = PWGF(
            problem, map, options, communicator,
            particles=layout["particles"], shards=layout["shards"],
        )  # fmt: skip
        _check_start(problem, runner)
        state, seconds = (None, 0.0) if stored is None else _stored_state(problem, stored, runner)
    _check_same_theta(runner.map, communicator)
    attributes = _attributes(problem, runner, layout, configuration, stored)
    memory = MemoryRecorder()
    observers: list[Observer] = [memory]
    if output.path is not None:
        observers.append(Recorder(_writer(Path(output.path), runner, attributes, stored)))
    if show_progress and communicator.rank == 0:
        observers.append(progress(problem.start_time, problem.until))
    schedule = Schedule(problem.start_time, problem.until, layout["every"])
    integrate(problem, runner, schedule, observers, resume_from=state, seconds_before=seconds)
    if output.path is None:
        return Solution(Summary.of(attributes, memory.columns()), runner.map, None)
    summary = Summary.of_store(open_run(output.path))
    return Solution(summary, runner.map, Path(output.path))


def _last_row(path: Path | str | None) -> StoredRun:
    if path is None:
        raise InputError("resume needs the path of a store")
    stored = open_run(path)
    if stored.rows == 0:
        raise InputError(f"{path} has no committed row to resume from: delete it and run again")
    return stored


def _layout(
    problem: Problem, options: PWGFOptions, output: Output, communicator: Communicator,
    stored: StoredRun | None,
) -> dict[str, Any]:  # fmt: skip
    """Spacing of the rows and cut of the evaluation sample; a resumed run keeps its own."""
    if stored is not None:
        return dict(stored.attributes["layout"])
    every = output.every or (problem.until - problem.start_time) / 10
    particles = output.particles or options.samples
    return {
        "every": every,
        "particles": particles,
        "shards": output.shards or max(16, communicator.size),
    }


def _check_start(problem: Problem, runner: PWGF) -> None:
    """The energy at every sample that the first step will see, and the map's being the identity
    there, with a volume and products."""
    for reference in (*runner.samples(0), *runner.evaluation.leaves):
        problem.check(reference.z)
        with torch.no_grad():
            x = runner.map(reference.z)
        if x.shape != reference.z.shape:
            raise InputError(
                f"the map returned shape {tuple(x.shape)} for samples of shape "
                f"{tuple(reference.z.shape)}"
            )
        if not torch.equal(x, reference.z):
            raise InputError(
                "the map is not the identity at its initial parameters (it moves a start sample "
                f"by {float((x - reference.z).abs().max()):.3g}): make its last layer zero, or use "
                "it anchored, z + N_θ(z) − N_θ₀(z)"
            )
    try:
        z = reference.z[:4]
        runner.map.transport(z, reference.score[:4])
        jacobian = runner.map.linearize(z)
        jacobian.vjp(jacobian.jvp(runner.map.get_theta()))
    except Exception as error:
        raise InputError(
            f"the map cannot be differentiated, as the method needs it: {describe(error)}"
        ) from error


def _check_same_theta(map: PushForward, communicator: Communicator) -> None:
    digest = hashlib.sha256(map.get_theta().cpu().numpy().tobytes()).hexdigest()
    if len(set(communicator.gather(digest))) > 1:
        raise InputError(
            "the ranks start from different parameters: seed the random numbers that "
            "initialise the map, the same on every rank"
        )


def _attributes(
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
        "layout": dict(layout),
        "configuration": None if configuration is None else dict(configuration),
        "objects": _described(problem, runner),
        "versions": {
            **{name: version(name) for name in ("hpc-wgf", "torch", "numpy", "zarr")},
            "python": platform.python_version(),
        },
    }


def _described(problem: Problem, runner: PWGF) -> dict[str, str]:
    """Everything that decides the trajectory, in words; the end of the run does not."""
    return {
        "energy": repr(problem.energy),
        "start density": repr(problem.start),
        "start time": repr(problem.start_time),
        "map": repr(runner.map),
        "method": repr(runner.options),
    }


def _stored_state(problem: Problem, stored: StoredRun, runner: PWGF) -> tuple[State, float]:
    """The state of the last committed row and the seconds spent up to it.

    Errors: `InputError` where going on would not be the same run.
    """
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


def _writer(
    path: Path, runner: PWGF, attributes: Mapping[str, Any], stored: StoredRun | None
) -> RunWriter:
    common = (path, runner.communicator, runner.evaluation.span)
    if stored is not None:
        return RunWriter.reopen(
            *common, rows=stored.rows, steps=stored.steps, attributes=attributes
        )
    blocks = runner.evaluation.blocks
    return RunWriter.create(
        *common,
        shape=StoreShape(
            parameters=runner.map.parameter_count(),
            dimension=runner.map.dimension,
            samples=blocks.total,
            block=blocks.size,
            blocks_per_shard=blocks.blocks_per_shard(runner.evaluation.shards),
            dtype=str(runner.options.dtype).removeprefix("torch."),
        ),
        attributes=attributes,
    )
