"""From a run file to the arguments of `solve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError
from .catalogue import load
from .default_maps import default_tables
from .imports import imported_by
from .maps import MapTable, build_map, check_size
from .parsing import parse
from .run import RunFile
from .starts import RunStartTable

if TYPE_CHECKING:
    from ..maps import PushForward
    from ..problems import Problem
    from ..pushed import StoredDensity


class RunSpec(NamedTuple):
    """The arguments of `solve` that a run file describes: `solve(*spec)`."""

    problem: Problem
    """The equation, its start density and its time span."""
    map: PushForward
    """The push-forward map at its initial parameters."""
    method: Any
    """The options of the method that moves the parameters, of one of `config.methods.METHODS`."""


def build(run_file: RunFile, *, trust: bool = False, begun_from: tuple[Path, ...] = ()) -> RunSpec:
    """Problem, map and method of a run file. `trust`: import and call the code of users that the
    store of its start names, where it begins from one. `begun_from`: the stores that begin from it.

    Errors: `InputError` naming what does not fit.
    """
    if run_file.map is not None:  # before work that the problem may take
        _check_size(run_file.map, run_file)
    start = run_file.problem.start
    stored = None
    if isinstance(start, RunStartTable):
        stored = _stored(start, run_file.problem.dimension, trust, begun_from)
    problem = run_file.problem.build(stored)
    return RunSpec(problem, map_of(run_file, problem), run_file.method)


def _stored(
    table: RunStartTable, dimension: int, trust: bool, begun_from: tuple[Path, ...]
) -> StoredDensity:
    """The density of a stored run. Errors: `InputError` for what is no store, or names code of a
    user without `trust`, for another dimension, times outside of the run, and a store that begins
    from itself."""
    from ..pushed import StoredDensity, StoredPath, check_start
    from ..store import open_run

    run = open_run(table.path)
    run.check_resumable()
    here = Path(run.path).resolve()
    if here in begun_from:
        raise InputError(
            f"{run.path} says that it began from itself: the store that it began from has been "
            "replaced; put that back"
        )
    own = run.attributes["dimension"]
    if own != dimension:
        raise InputError(
            f"the run {run.path} has dimension {own} but the problem has dimension {dimension}"
        )
    tables = run.configuration(
        "begin from it in Python, Problem(energy, open_run(path, RunSpec(…)).density_at(t), until)"
    )
    run_file = parse_stored(
        tables, trust=trust, store=run.path, instead="say --trust, in Python load_problem(…, "
        "trust=True)"
    )  # fmt: skip
    spec = build(run_file, trust=trust, begun_from=(*begun_from, here))
    check_start(run, spec.problem)
    return StoredDensity(StoredPath(run, *spec), table.time)


def map_of(run_file: RunFile, problem: Problem) -> PushForward:
    """The map of a run file for a problem, which need not be its own; where it names none, the
    one that is chosen from the problem. Errors: `InputError` naming what does not fit."""
    tables = default_tables(problem) if run_file.map is None else run_file.map
    _check_size(tables, run_file)
    return build_map(tables, problem)


def _check_size(tables: Sequence[MapTable], run_file: RunFile) -> None:
    check_size(tables, run_file.problem.dimension, run_file.method.torch_dtype.itemsize)


def parse_stored(tables: Mapping[str, Any], *, trust: bool, store: object, instead: str) -> RunFile:
    """The run file whose `tables` the `store` holds. Whoever wrote a store chose what it imports
    and calls: that is not done without `trust`; `instead` says how to give it.

    Errors: `InputError` for tables that are not valid, or that import something without `trust`.
    """
    run_file = parse(tables)
    paths = imported_by(run_file)
    if paths and not trust:
        raise InputError(
            f"{store} imports and calls code that it does not hold itself: {', '.join(paths)}. If "
            f"you know what that is, {instead}"
        )
    return run_file


def load_problem(name_or_file: str, *settings: str, trust: bool = False) -> RunSpec:
    """Problem, map and method of a named problem or run file, with settings "a.b=value".

    They are the objects that `hpc-wgf run NAME --set a.b=value` works with, to be changed or passed
    to `solve`. `trust`: as for a store that it begins from, see `build`.

    Example: `solve(*load_problem("ou-10d", "problem.until=1"))`. Errors: `InputError` for an
    unknown name, or for what does not fit in the run file, one line each.
    """
    return build(load(name_or_file, settings), trust=trust)
