"""Checks of the arguments of `solve`: each is of the kind that it is to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from ..errors import InputError
from ..kinds import check_kind, shown
from ..maps import PushForward
from ..output import Output
from ..problems import Problem
from ..stages import Stages


def check_arguments(problem: object, map: object, method: object, **others: object) -> None:
    """Errors: `InputError` for what cannot be what these arguments of `solve` are; `others` are
    those of `_check_others`."""
    _check_problem(problem)
    check_map(map)
    _check_method(method)
    _check_others(**others)


def _check_problem(problem: object) -> None:
    """Errors: `InputError` for what is no `Problem`."""
    if isinstance(problem, Problem):
        return
    remedy = "give Problem(energy, start, until)"
    if isinstance(problem, str | Path):
        remedy = f"give what it describes, solve(*load_problem({str(problem)!r}))"
    elif isinstance(problem, tuple):
        remedy = "its parts are arguments of their own, solve(*spec)"
    _refuse(problem, "problem", remedy)


def check_map(map: object) -> None:
    """Errors: `InputError` for what is no push-forward map."""
    if isinstance(map, PushForward):
        return
    remedy = "give one, as Affine(d), BlockFlow(d, width) or a Composition(…) of several"
    if isinstance(map, nn.Module):
        remedy = "wrap it as ModuleMap(d, module, anchored=True), with its dimension d"
    elif isinstance(map, list | tuple):
        remedy = "maps that act one after another are Composition(first, second, …)"
    _refuse(map, "push-forward map", remedy)


def _check_method(method: object) -> None:
    """Errors: `InputError` for what are no options of a method."""
    remedy = "give PWGFOptions(…)"
    if isinstance(method, Mapping):
        remedy = "give PWGFOptions(**options)"
    check_kind(method, "options of a method", ("bind", "samples", "seed"), remedy)


def output_of(output: Output | str | Path | None) -> Output:
    """The output that is meant: a path is that of the store to make. Errors: `InputError`."""
    if output is None or isinstance(output, str | Path):
        return Output(output)
    if not isinstance(output, Output):
        _refuse(output, "output", "give Output(path, every=…), or the path of the store to make")
    return output


def check_communicator(communicator: object) -> None:
    """Errors: `InputError` for what is no communicator."""
    check_kind(
        communicator, "communicator", ("rank", "size", "device", "sum", "gather"),
        "leave it out, or give that of `with hpc_wgf.distributed() as communicator`",
    )  # fmt: skip


def _check_others(
    *, observers: object, stages: object, stop: object, resume: object, configuration: object
) -> None:
    """Errors: `InputError` for what cannot be what these arguments of `solve` are."""
    if isinstance(observers, str) or not isinstance(observers, Iterable):
        raise InputError(f"{shown(observers)} is no list of observers: write observers=[…]")
    for each in observers:
        needs = ("on_row", "on_step", "on_stop", "on_end")
        check_kind(each, "observer", needs, f"it needs {', '.join(needs)}")
    if not isinstance(stages, Stages):
        remedy = (
            'give Stages("auto"), or an object with ends(state, look, folds=…) and next_map(state)'
        )
        check_kind(stages, "rule of stages", ("ends", "next_map"), remedy)
    if stop is not None and not callable(stop):
        raise InputError(f"{shown(stop)} was given as stop: expected a function of no arguments")
    if not isinstance(resume, bool):
        raise InputError(
            f"{shown(resume)} was given as resume: expected True or False; the store is that of "
            "Output(path)"
        )
    if configuration is not None and not isinstance(configuration, Mapping):
        raise InputError(f"{shown(configuration)} is no configuration: expected a mapping")


def _refuse(value: object, kind: str, remedy: str) -> None:
    check_kind(value, kind, (), remedy)  # A class has a remedy of its own.
    raise InputError(f"{shown(value)} is no {kind}: {remedy}")
