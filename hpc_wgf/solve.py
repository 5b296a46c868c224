"""One call from a problem to a verified trajectory, the same on one process and on many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import check_same_everywhere, check_start
from .columns import JUDGE_COLUMNS, LOOP_COLUMNS, PWGF_COLUMNS
from .errors import InputError
from .loop import Schedule, integrate
from .maps import PushForward
from .methods import PWGF, PWGFOptions
from .observers import MemoryRecorder, Observer, Recorder, progress
from .parallel import Communicator, agreed, communicator_from_environment
from .problems import Problem
from .provenance import (
    check_same_run,
    check_same_values,
    last_checkpoint,
    run_attributes,
    state_at,
)
from .report import Summary
from .store import (
    Checkpoint,
    RunWriter,
    Stage,
    StoredRun,
    StoreShape,
    blocks_per_shard,
    default_shards,
    open_run,
    refuse_existing,
)


@dataclass(frozen=True)
class Output:
    """What is kept of a run.

    `path`: the Zarr store to make; None keeps figures in memory only. `every`: time between
    rows, None for a tenth of the run. `particles`: size of the stored evaluation sample, None for
    as many as the method's. `shards`: files of a row's particles, None for such of 1 MiB or more,
    16 at most.
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
    """A finished run: its figures, the map at `time`, the last one (`solution.map(z)` pushes new
    samples), and its store if there is one."""

    summary: Summary
    map: PushForward
    time: float
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
    stop: Callable[[], bool] | None = None,
    observers: Sequence[Observer] = (),
) -> Solution:
    """Carry the start density of `problem` along its flow until `problem.until`.

    `map` itself is left as it is; the solution holds a copy. `communicator`: the ranks; found from
    the launcher's environment when None (a script for several ranks should run inside
    `with hpc_wgf.distributed() as communicator:`, so that a failure ends all with one message).
    `resume`: go on from where the run at `output.path` was stopped, or from its last committed
    row, with the same problem, map and method, to the same or a later end.
    `configuration`: stored with the run in place of the objects' descriptions.
    `stop`: asked on every rank after every step; where it is true on one, the run stops there
    (`summary.finished` is false), and resumed goes on bit for bit. `observers`:
    further ones, which see every row and step.

    Errors: `InputError` before any work for what cannot be carried out; `RunError` when a run
    that has begun cannot go on.
    """
    options, output = method or PWGFOptions(), output or Output()
    communicator = communicator or communicator_from_environment()
    stored: StoredRun | None = None
    checkpoint: Checkpoint | None = None
    with agreed(communicator):
        stored = _begun(output.path) if resume else None
        # One rank looks: a file system may go on showing the others that there is nothing.
        if stored is None and output.path is not None and communicator.rank == 0:
            refuse_existing(Path(output.path))
        sizes = layout(problem, options, output, communicator, stored)
        schedule = Schedule(problem.start_time, problem.until, sizes["every"])
        runner = PWGF(
            problem, map, options, communicator,
            particles=sizes["particles"], pieces=sizes["pieces"],
        )  # fmt: skip
        check_start(problem, runner)
        if stored is not None:
            check_same_run(problem, stored, runner, configuration)
            checkpoint = last_checkpoint(stored, problem.until)
    check_same_everywhere(runner.map.get_theta(), checkpoint, communicator)
    if stored is not None:
        check_same_values(stored, runner)
    attributes = run_attributes(problem, runner, sizes, configuration, stored)
    state = None if checkpoint is None else state_at(checkpoint, runner)
    memory = MemoryRecorder()
    seeing: list[Observer] = [*observers, memory]
    if output.path is not None:  # what the store keeps need not grow in memory too
        writer = _writer(Path(output.path), runner, attributes, sizes, stored)
        seeing[-1] = Recorder(writer, None if checkpoint is None else checkpoint.steps)
    if show_progress and communicator.rank == 0:
        taken = 0 if checkpoint is None else checkpoint.step
        seeing.append(progress(problem.start_time, problem.until, steps=taken))
    last = integrate(
        problem, runner, schedule, seeing, resume_from=state, stop=stop,
        seconds_before=0.0 if checkpoint is None else checkpoint.wall_seconds,
    )  # fmt: skip
    if output.path is None:
        return Solution(Summary.of(attributes, memory.columns()), runner.map, last.time, None)
    summary = Summary.of_store(open_run(output.path))
    return Solution(summary, runner.map, last.time, Path(output.path))


def _begun(path: Path | str | None) -> StoredRun:
    if path is None:
        raise InputError("resume needs the path of a store")
    stored = open_run(path)
    stored.refuse_older()
    return stored


def layout(
    problem: Problem, options: PWGFOptions, output: Output, communicator: Communicator,
    stored: StoredRun | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Spacing of the rows (`every`), size of the evaluation sample (`particles`), the `pieces` in
    which ranks share it, and the `shards` in which it is stored; a resumed run keeps its own."""
    if stored is not None:
        return dict(stored.attributes["layout"])
    every = output.every or (problem.until - problem.start_time) / 10
    particles = output.particles or options.samples
    row_bytes = particles * problem.dimension * options.dtype.itemsize
    return {
        "every": every,
        "particles": particles,
        "pieces": max(16, communicator.size),
        "shards": output.shards or default_shards(row_bytes),
    }


def _writer(
    path: Path, runner: PWGF, attributes: Mapping[str, Any], sizes: Mapping[str, Any],
    stored: StoredRun | None,
) -> RunWriter:  # fmt: skip
    common = (path, runner.communicator, runner.evaluation.span)
    if stored is not None:
        return RunWriter.reopen(
            *common, rows=stored.rows, steps=stored.steps, attributes=attributes
        )
    blocks, theta = runner.evaluation.blocks, runner.map.get_theta().cpu().numpy()
    return RunWriter.create(
        *common,
        shape=StoreShape(
            parameters=runner.map.parameter_count(),
            dimension=runner.map.dimension,
            samples=blocks.total,
            block=blocks.size,
            blocks_per_shard=blocks_per_shard(blocks, sizes["pieces"], sizes["shards"]),
            dtype=str(runner.options.dtype).removeprefix("torch."),
            columns=(*LOOP_COLUMNS, *JUDGE_COLUMNS, *PWGF_COLUMNS),
        ),
        attributes=attributes,
        stage=Stage(repr(runner.map), runner.problem.start_time, theta),
    )
