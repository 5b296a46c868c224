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
from .parallel import Communicator, agreed, communicator_from_environment
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

    `communicator`: the ranks; found from the launcher's environment when None. `resume`: go on
    from the last committed row of `output.path` with the same problem, map and method.
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
    _check_same_theta(runner.map, communicator)
    attributes = _attributes(problem, runner, layout, configuration)
    state, seconds = (None, 0.0) if stored is None else _stored_state(stored, runner)
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
    """The energy at start samples, and the map's being the identity there."""
    z = runner.evaluation.leaves[0].z[:512]
    problem.check(z)
    with torch.no_grad():
        x = runner.map(z)
    if x.shape != z.shape:
        raise InputError(
            f"the map returned shape {tuple(x.shape)} for samples of shape {tuple(z.shape)}"
        )
    if not torch.equal(x, z):
        raise InputError(
            "the map is not the identity at its initial parameters (it moves a start sample by "
            f"{float((x - z).abs().max()):.3g}): make its last layer zero, or use it anchored, "
            "z + N_θ(z) − N_θ₀(z)"
        )


def _check_same_theta(map: PushForward, communicator: Communicator) -> None:
    digest = hashlib.sha256(map.get_theta().cpu().numpy().tobytes()).hexdigest()
    if len(set(communicator.gather(digest))) > 1:
        raise InputError(
            "the ranks start from different parameters: seed the random numbers that "
            "initialise the map, the same on every rank"
        )


def _attributes(
    problem: Problem, runner: PWGF, layout: Mapping[str, Any],
    configuration: Mapping[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    described = {"problem": repr(problem), "map": repr(runner.map), "method": repr(runner.options)}
    return {
        "problem": problem.name,
        "dimension": problem.dimension,
        "until": problem.until,
        "ranks": runner.communicator.size,
        "samples": runner.options.samples,
        "parameters": runner.map.parameter_count(),
        "layout": dict(layout),
        "configuration": None if configuration is None else dict(configuration),
        "objects": described,
        "versions": {
            **{name: version(name) for name in ("hpc-wgf", "torch", "numpy", "zarr")},
            "python": platform.python_version(),
        },
    }


def _stored_state(stored: StoredRun, runner: PWGF) -> tuple[State, float]:
    """The state of the last committed row and the seconds spent up to it."""
    theta = torch.from_numpy(np.asarray(stored.last("theta")))
    expected = runner.map.get_theta()
    if theta.shape != expected.shape or theta.dtype != expected.dtype:
        raise InputError(
            f"{stored.path} holds {theta.numel()} parameters in {theta.dtype}, the map has "
            f"{expected.numel()} in {expected.dtype}: resume with the map and dtype of the run"
        )
    state = State(
        time=float(stored.last("time")),
        theta=theta.to(expected.device),
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
