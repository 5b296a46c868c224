"""The parts of a run, and accounts of them as plain numbers, which a store keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What a run spends its time on. Every second belongs to one part."""

    START_UP = "start-up"
    """Before the first step: objects, evaluation sample, store, but for its checks."""
    CHECKS = "checks"
    """What is tried before any work."""
    PILOTS = "pilot runs"
    """Runs that choose settings for an accuracy."""
    DRAWS = "draws"
    """Random numbers, and samples made of them."""
    DENSITIES = "densities"
    """log λ and ∇ log λ of the start density at samples."""
    VOLUMES = "volumes and scores"
    """T(z), log|det ∇T| and the score along the map."""
    FORCES = "forces"
    """∇ δF/δρ at the samples, interactions, mobility and drift."""
    LINEARISATION = "linearisation"
    """J at the samples, and the right-hand side."""
    PRODUCTS = "products"
    """Products with the metric."""
    RECURRENCE = "recurrence"
    """Vectors of p numbers in the Krylov iteration."""
    PRECONDITIONING = "preconditioning"
    """The preconditioner, applied to such a vector."""
    PRECONDITIONER = "preconditioner"
    """Making and factoring it; of direct solves the factors of the metric."""
    RESIDUALS = "residuals"
    """What a solve leaves over, the nonlinearity of a step, and norms of motions."""
    TRAINING = "training"
    """Optimisers' steps of methods that train."""
    EVALUATION = "evaluation"
    """The judge's figures, on the evaluation sample."""
    ESTIMATE = "error estimate"
    """Bound and estimate of the error."""
    OUTPUT = "output"
    """Rows on their way to the store, and progress."""
    REST = "rest"
    """Everything else."""


WHOLE = frozenset({Part.CHECKS, Part.PILOTS, Part.PRECONDITIONER, Part.EVALUATION, Part.ESTIMATE,
                   Part.OUTPUT})  # fmt: skip
"""Parts to which all belongs that is done within them: the densities of an evaluation are its."""

ATTRIBUTE = "account"
"""The attribute of a store that keeps the accounts of its run, one for each number of ranks."""


@dataclass(slots=True)
class Spent:
    """What a part has taken."""

    seconds: float = 0.0
    """By the clock."""
    waiting: float = 0.0
    """Of these, those of waiting for other ranks."""
    cpu_seconds: float = 0.0
    """Of the run's thread."""
    aside: float = 0.0
    """CPU seconds of threads beside it."""
    entries: float = 0.0
    """How often it was entered."""


FIGURES = tuple(field.name for field in fields(Spent))
"""Of a part, in the order of their sums over ranks."""


def plain(
    ranks: int, sums: Mapping[Part, Sequence[float]], cpu_of_processes: float
) -> dict[str, Any]:
    """The account of `ranks` for a store, from the sums over them of every part's `FIGURES` and of
    their processes' CPU seconds.

    Seconds by the clock are means over the ranks, CPU seconds and entries sums."""
    parts = {
        name.value: {
            figure: value / ranks if figure in FIGURES[:2] else value
            for figure, value in zip(FIGURES, sums[name], strict=True)
        }
        for name in Part
        if any(sums.get(name, ()))
    }
    return {"ranks": ranks, "cpu_seconds": cpu_of_processes, "parts": parts}


def merged(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accounts of the legs of a run, those of equally many ranks added up."""
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        ranks = int(entry["ranks"])
        before = found.setdefault(ranks, {"ranks": ranks, "cpu_seconds": 0.0, "parts": {}})
        before["cpu_seconds"] += entry["cpu_seconds"]
        for name, figures in entry["parts"].items():
            of_part = before["parts"].setdefault(name, {})
            for figure, value in figures.items():
                of_part[figure] = of_part.get(figure, 0.0) + value
    return list(found.values())


def seconds_by_part(entries: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of every part over all legs of a run, the longest first."""
    found: dict[str, float] = {}
    for entry in entries:
        for name, figures in entry["parts"].items():
            found[name] = found.get(name, 0.0) + figures["seconds"]
    return dict(sorted(found.items(), key=lambda item: -item[1]))
