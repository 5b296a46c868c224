"""One call from a problem to a verified trajectory, the same on one process and on many."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .accounts import ATTRIBUTE, Part, accounted, counted, part
from .checks import (
    check_arguments,
    check_communicator,
    check_density,
    check_same_everywhere,
    check_same_pairs,
    check_same_samples,
    check_start,
    gate_warnings,
    output_of,
    sample_notes,
    start_warnings,
)
from .diagnostics import ErrorMonitor, Judge
from .errors import InputError, WgfWarning
from .log import LOG
from .maps import MapState, PushForward, described
from .methods.base import FreezesSteps, MethodOptions, Setting, own_map
from .methods.pwgf import PWGFOptions
from .observers import MemoryRecorder, Observer, Recorder, event_log, progress
from .output import Output
from .parallel import Communicator, agreed, communicator_from_environment
from .planning.fit import check_memory
from .problems import Problem
from .report import Summary
from .run.accounting import RunAccount
from .run.accuracy import Accuracy, choose
from .run.layout import Layout
from .run.loop import ERROR_STATE, Loop
from .run.provenance import Identity, extended
from .run.resume import check_same_run, check_same_values, last_checkpoint, resumed_notes, state_at
from .run.schedule import Schedule
from .run.staging import (
    StagesByMethod,
    StagesByRule,
    Staging,
    check_stages,
    refuse_stages,
    stops,
)
from .stages import Stages
from .store import (
    Checkpoint,
    RunWriter,
    Stage,
    StoredRun,
    StoreShape,
    blocks_per_shard,
    open_run,
    refuse_existing,
)


@dataclass(frozen=True)
class Solution:
    """A finished run."""

    summary: Summary
    """Its figures."""
    state: MapState
    """The whole map at `time`: `solution.state(z)` pushes new samples of the start density."""
    time: float
    """The last time that was reached."""
    path: Path | None
    """The store, if there is one."""

    @property
    def map(self) -> PushForward:
        """T from the start density to `time`: the active map at its last parameters, or where
        stages were frozen the composition of copies of them and of it."""
        return self.state.whole()


@accounted(Part.START_UP)
def solve(
    problem: Problem,
    map: PushForward,
    method: MethodOptions | None = None,
    output: Output | Path | str | None = None,
    *,
    communicator: Communicator | None = None,
    resume: bool = False,
    show_progress: bool = False,
    configuration: Mapping[str, Any] | None = None,
    stop: Callable[[], bool] | None = None,
    observers: Sequence[Observer] = (),
    stages: Stages | Staging | None = None,
    memory_check: bool = True,
) -> Solution:
    """Carry the start density of `problem` along its flow until `problem.until`.

    `map` itself is left as it is; the solution holds a copy. `method`: options of a method,
    PWGF's by default. `output`: what is kept; a path alone is that of the store to make.
    `communicator`: the ranks; found from the launcher's environment when None
    (a script for several ranks should run inside `with hpc_wgf.distributed() as communicator:`, so
    that a failure ends all with one message).
    `resume`: go on from where the run at `output.path` was stopped, or from its last committed
    row, with the same problem, map and method, to the same or a later end.
    `configuration`: stored with the run in place of the objects' descriptions.
    `stop`: asked on every rank after every step; where it is true on one, the run stops there
    (`summary.finished` is false), and resumed goes on bit for bit. `observers`: further ones,
    which see every row and step. `stages`: when the map is frozen and a new one goes on, by the
    rule of `Stages` or by a `Staging` of one's own; one map from start to end by default.
    `memory_check`: whether a run that a rank has no memory for is refused (see `hpc-wgf plan`);
    HPC_WGF_MEMORY_GIB in the environment says what a rank may take where that is not what the
    machine has free.

    Errors: `InputError` before any work for what cannot be carried out; `RunError` when a run
    that has begun cannot go on.
    """
    options: MethodOptions = PWGFOptions() if method is None else method
    communicator = communicator_from_environment() if communicator is None else communicator
    check_communicator(communicator)
    account = RunAccount.begun(communicator)
    stages = Stages() if stages is None else stages
    stored: StoredRun | None = None
    with part(Part.CHECKS), agreed(communicator):
        check_arguments(problem, map, options, observers=observers, stages=stages, stop=stop,
                        resume=resume, configuration=configuration)  # fmt: skip
        output = output_of(output)
        check_stages(stages, map, problem)
        check_density(problem.start)
        stored = _begun(output.path) if resume else None
        # One rank looks: a file system may go on showing the others that there is nothing.
        if stored is None and output.path is not None and communicator.rank == 0:
            refuse_existing(Path(output.path))
    if stored is not None:
        account = account.after(stored.attributes)
    accuracy = _accuracy(
        problem, map, options, stages, communicator, output, stored, stop=stop,
        memory_check=memory_check, show_progress=show_progress,
    )  # fmt: skip
    if accuracy is not None:
        options, stages = accuracy.applied(options, stages)  # type: ignore[arg-type]
    with agreed(communicator):
        layout = _layout(problem, options, output, communicator, stored)
    if memory_check:
        sized = replace(output, particles=layout.particles if output.particles or stored else None)
        with part(Part.CHECKS):
            check_memory(problem, own_map(map, options), options, sized, communicator)
    with agreed(communicator):
        run = _bound(problem, map, options, layout, communicator, stored, configuration, stages,
                     stop)  # fmt: skip
        schedule = Schedule(problem.start_time, problem.until, run.layout.every, stops(stages))
        if stored is None:
            fixed = run.method.controller().after_failure() is None
            schedule.check_step(run.method.start().step_size, fixed=fixed)
        evaluation = run.setting.evaluation
        checkpoint, warned = _tried(run, stored)
    with part(Part.CHECKS):
        check_same_pairs(problem, communicator)
        check_same_samples(problem, communicator)
        check_same_everywhere(run.setting.map.get_theta(), checkpoint, communicator)
    judge, state = Judge(problem, evaluation), None
    errors = ErrorMonitor.of(judge, run.setting.sampler) if run.layout.bound else None
    if stored is not None:
        with part(Part.CHECKS):
            check_same_values(stored, run, judge)
        if checkpoint is not None:
            state = state_at(checkpoint, stored, run)
            if errors is not None:
                errors.resume(_error_state(checkpoint, stored), state.map)
    memory = MemoryRecorder()
    seeing: list[Observer] = [memory, *observers]
    writer: RunWriter | None = None
    source = None if errors is None else errors.convexity_source
    attributes = {
        **run.attributes(),
        "warnings": warned,
        "convexity_source": source,
        "accuracy": None if accuracy is None else accuracy.as_attributes(),
    }
    if output.path is not None:  # what the store keeps need not grow in memory too
        numbers = 0 if errors is None else errors.state_size
        writer = _writer(Path(output.path), run, attributes, stored, error_numbers=numbers)
        seeing[0] = Recorder(
            writer, None if checkpoint is None else checkpoint.steps,
            particles_every=run.layout.particles_every, attributes=account.attributes,
        )  # fmt: skip
    if communicator.rank == 0:
        _warn(warned, show_progress)
        taken = 0 if checkpoint is None else checkpoint.step
        seeing.append(event_log(steps=taken))
        if show_progress:
            seeing.append(progress(problem.start_time, problem.until, steps=taken))
    begun = problem.start_time
    if stored is not None and stored.rows:
        begun = float(stored.column("time")[stored.stages[-1].row])
    staging: Staging | None
    if isinstance(run.method, FreezesSteps):
        staging = StagesByMethod(run.method)
    else:
        staging = StagesByRule.of(stages, run.setting, judge, map, begun=begun)
    loop = Loop(run.method, judge, communicator, schedule, seeing, staging, errors)
    with closing(run.setting.sampler), nullcontext() if writer is None else writer:
        last = loop.run(
            state, stop=stop, seconds_before=0.0 if checkpoint is None else checkpoint.wall_seconds
        )
        attributes |= account.attributes()
        if writer is not None:
            writer.describe({ATTRIBUTE: attributes[ATTRIBUTE]})
    if output.path is None:
        summary = Summary.of(attributes, memory.columns())
        return Solution(summary, last.map, last.time, None)
    summary = Summary.of_store(open_run(output.path))
    return Solution(summary, last.map, last.time, Path(output.path))


def _accuracy(
    problem: Problem, map: PushForward, options: MethodOptions, stages: Stages | Staging,
    communicator: Communicator, output: Output, stored: StoredRun | None, *,
    stop: Callable[[], bool] | None, memory_check: bool, show_progress: bool,
) -> Accuracy | None:  # fmt: skip
    """What an accuracy takes that is asked for, found by pilots or, where a run is resumed, as it
    was found when it began; None where none is."""
    if not isinstance(options, PWGFOptions) or options.accuracy is None:
        return None
    if stored is not None:
        return Accuracy.stored(stored.attributes)
    every = Layout.of(problem, options, output, communicator.size).every
    schedule = Schedule(problem.start_time, problem.until, every, stops(stages))

    def check(pilot: PWGFOptions) -> None:
        schedule.check_step(pilot.step_size, fixed=False)
        if memory_check:
            check_memory(problem, map, pilot, output, communicator)

    def tell(line: str) -> None:
        if communicator.rank == 0:
            LOG.info(line)
            if show_progress:
                print(line, file=sys.stderr, flush=True)

    with part(Part.PILOTS):
        return choose(
            problem, map, options, stages, communicator, every=every, check=check, tell=tell,
            stop=stop,
        )  # fmt: skip


def _error_state(checkpoint: Checkpoint, stored: StoredRun) -> np.ndarray:
    """What the estimate of the error goes on with: of the checkpoint, or else of the last row."""
    if ERROR_STATE in checkpoint.memory:
        return checkpoint.memory[ERROR_STATE]
    kept = stored.error_state(stored.rows - 1)
    assert kept is not None  # Its columns have been compared with those of the run.
    return kept


@counted(Part.CHECKS)
def _tried(run: Identity, stored: StoredRun | None) -> tuple[Checkpoint | None, list[str]]:
    """The checks of a method, and of a stored run that goes on: where it does, and warnings."""
    problem = run.setting.problem
    for check in run.method.checks():
        check()
    checkpoint = None
    if stored is not None:
        check_same_run(stored, run)
        checkpoint = last_checkpoint(stored, problem.until)
    return checkpoint, [
        *start_warnings(problem, run.setting.evaluation.z),
        *gate_warnings(problem, run.setting.map),
        *run.method.warnings(),
        *sample_notes(problem),
        *([] if stored is None else resumed_notes(stored, run)),
    ]


def _warn(warned: Sequence[str], show_progress: bool) -> None:
    """Before the run: plain lines where progress is shown, Python's warnings elsewhere."""
    for warning in warned:
        LOG.warning(f"warning: {warning}")
        if show_progress:
            print(f"warning: {warning}", file=sys.stderr, flush=True)
        else:
            # Beside this function and `solve` there is the decorator of `solve`.
            warnings.warn(warning, WgfWarning, stacklevel=4)


def _begun(path: Path | str | None) -> StoredRun:
    if path is None:
        raise InputError("resume needs the path of a store")
    stored = open_run(path)
    stored.check_resumable()
    return stored


def _layout(
    problem: Problem, options: MethodOptions, output: Output, communicator: Communicator,
    stored: StoredRun | None,
) -> Layout:  # fmt: skip
    """That of the store for a run that is resumed."""
    if stored is None:
        return Layout.of(problem, options, output, communicator.size)
    return Layout.stored(stored.attributes)


def _bound(
    problem: Problem, map: PushForward, options: MethodOptions, layout: Layout,
    communicator: Communicator, stored: StoredRun | None, configuration: Mapping[str, Any] | None,
    stages: Stages | Staging, stop: Callable[[], bool] | None,
) -> Identity:  # fmt: skip
    """Everything that decides the run. One that is resumed keeps, where it is given none, its
    configuration."""
    if stored is not None:
        configuration = configuration or extended(stored.attributes["configuration"], problem)
    setting = Setting.of(
        problem, map, options, communicator, particles=layout.particles, pieces=layout.pieces,
        stop=stop,
    )  # fmt: skip
    # Before the method is bound, which may evaluate the map for purposes of its own.
    with part(Part.CHECKS):
        check_start(problem, setting.map, setting.evaluation.ensemble)
    method = options.bind(setting)
    if isinstance(method, FreezesSteps):
        refuse_stages(stages)
    return Identity(setting, options, method, layout, configuration, stages)


def _writer(
    path: Path, run: Identity, attributes: Mapping[str, Any], stored: StoredRun | None, *,
    error_numbers: int,
) -> RunWriter:  # fmt: skip
    setting, evaluation = run.setting, run.setting.evaluation
    common = (path, setting.communicator, evaluation.span)
    if stored is not None:
        return RunWriter.reopen(
            *common, rows=stored.rows, steps=stored.steps, attributes=attributes
        )
    blocks, theta = evaluation.blocks, setting.map.get_theta().cpu().numpy()
    kept = run.method.start().kept
    return RunWriter.create(
        *common,
        shape=StoreShape(
            parameters=len(theta),
            dimension=setting.map.dimension,
            samples=blocks.total,
            block=blocks.size,
            blocks_per_shard=blocks_per_shard(blocks, run.layout.pieces, run.layout.shards),
            dtype=str(run.options.torch_dtype).removeprefix("torch."),
            columns=run.columns,
            weighted=setting.sampler.proposal is not None,
            error_numbers=error_numbers,
            method_numbers=0 if kept is None else kept.numel(),
            particle_times=run.layout.particles_every > 1,
            particles_dtype=run.layout.particles_dtype,
            round_bits=run.layout.round_bits,
            codec=run.layout.codec,
        ),
        attributes=attributes,
        stage=Stage(described(setting.map), setting.problem.start_time, theta),
    )
