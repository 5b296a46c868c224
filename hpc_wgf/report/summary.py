"""The figures of a run: `hpc-wgf report PATH --json` prints exactly these keys."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..columns import STEP_PREFIX
from ..store import StoredRun
from .energy_law import EnergyLaw

Column = list[float | None]


@dataclass(frozen=True)
class Summary:
    """A run in figures. Lists run over the stored times. Errors and energies are on the evaluation
    sample, which no step was fitted to; None where there is nothing to compare with, or where the
    run's method has no such figure."""

    problem: str
    """Its name."""

    dimension: int
    """Of space."""

    ranks: int
    """On which the run was last."""

    samples: int
    """Of a step."""

    parameters: int
    """Of the map."""

    interaction_routes: list[str]
    """How each sum over pairs was taken (`interactions.Route`)."""

    preconditioner: str | None
    """Of the solves."""

    until: float
    """The end that was asked for."""

    finished: bool
    """Whether it has been reached."""

    times: list[float]
    """The stored times."""

    energy: Column
    """F(ρ)."""

    energy_rate: Column
    """−ηᵀĜη on the run's samples."""

    energy_rate_measured: Column | None
    """dF/dt of `energy` along η."""

    kl_divergence: Column | None
    """To the stationary law, where its normalisation is known."""

    map_error: Column | None
    """(E|T − T_exact|²)^½."""

    map_error_relative: Column | None
    """`map_error` over (E|T_exact − z|²)^½, and 0 at the start, where neither has moved."""

    symmetric_kl: Column | None
    """Of the nearest Gaussian push-forward to the exact Gaussian law."""

    projection_error: Column
    """E|Jη + f|² on the run's samples."""

    projection_error_fresh: Column
    """E|Jη + f|² on the evaluation sample."""

    projection_error_relative: Column
    """(E|Jη + f|²/E|f|²)^½ on the run's samples, the share of the force that the map cannot
    follow."""

    folded: list[int]
    """Samples of the evaluation sample whose density is not known."""

    steps: int
    """Accepted steps."""

    rejected: int | None
    """Attempts that were rejected."""

    products_per_solve: float | None
    """Mean over the run."""

    unconverged: int | None
    """Solves that ended above the tolerance."""

    worst_residual: float | None
    """The largest true residual of a solve, over its right-hand side."""

    largest_shift: float | None
    """ε/‖Ĝ‖ of the step where it was largest."""

    worst_nonlinearity: float | None
    """Of a step: the motion of the samples other than linear in θ, over the linear one."""

    energy_law: EnergyLaw | None
    """What fell against what was dissipated."""

    wall_seconds: float
    """Seconds of computation."""

    versions: dict[str, str]
    """Of the packages that took part."""

    @classmethod
    def of(cls, attributes: Mapping[str, Any], column: Mapping[str, np.ndarray]) -> Summary:
        """From a run's attributes and its figures by key; figures may be missing."""
        column = column if isinstance(column, _Stored) else _Given(column)
        map_error = column["map_error"]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = map_error / column["map_displacement"]
            projection = np.sqrt(column["projection_error"] / column["force_square"])
        relative = np.where(map_error == 0.0, 0.0, relative)
        solves = _total(column["step_solves"])
        products = _total(column["step_products"])
        return cls(
            problem=attributes["problem"],
            dimension=attributes["dimension"],
            ranks=attributes["ranks"],
            samples=attributes["samples"],
            parameters=attributes["parameters"],
            preconditioner=attributes.get("preconditioner"),
            interaction_routes=attributes.get("interaction_routes", []),
            until=attributes["until"],
            finished=bool(column["time"].size and column["time"][-1] >= attributes["until"]),
            times=column["time"].tolist(),
            energy=_listed(column["energy"]),
            energy_rate=_listed(column["energy_rate"]),
            energy_rate_measured=_listed_or_none(column["energy_rate_measured"]),
            kl_divergence=_listed_or_none(column["kl_divergence"]),
            map_error=_listed_or_none(map_error),
            map_error_relative=_listed_or_none(relative),
            symmetric_kl=_listed_or_none(column["symmetric_kl"]),
            projection_error=_listed(column["projection_error"]),
            projection_error_fresh=_listed(column["projection_error_fresh"]),
            projection_error_relative=_listed(projection),
            folded=np.nan_to_num(column["folded"]).astype(int).tolist(),
            steps=column["step_time"].size,
            rejected=_total(column["step_rejected"]),
            products_per_solve=products / solves if solves and products is not None else None,
            unconverged=_total(column["step_unconverged"]),
            worst_residual=_largest(column["step_residual"]),
            largest_shift=_largest(column["step_shift"]),
            worst_nonlinearity=_largest(column["step_nonlinearity"]),
            energy_law=EnergyLaw.of(column),
            wall_seconds=float(column["wall_seconds"][-1]) if column["time"].size else 0.0,
            versions=attributes["versions"],
        )

    @classmethod
    def of_store(cls, run: StoredRun) -> Summary:
        """From a store."""
        return cls.of(run.attributes, _Stored(run))

    def to_json(self) -> str:
        """One JSON object; what is not finite is null."""
        return json.dumps(asdict(self), allow_nan=False)


class _Stored(Mapping[str, np.ndarray]):
    """The figures of a store by key."""

    def __init__(self, run: StoredRun) -> None:
        self._run = run

    def __getitem__(self, key: str) -> np.ndarray:
        return self._run.column(key)

    def __iter__(self) -> Iterator[str]:
        return (column.key for column in self._run.columns)

    def __len__(self) -> int:
        return len(self._run.columns)


class _Given(Mapping[str, np.ndarray]):
    """Figures by key, not-a-number where they are missing."""

    def __init__(self, figures: Mapping[str, np.ndarray]) -> None:
        self._figures = figures

    def __getitem__(self, key: str) -> np.ndarray:
        if key in self._figures:
            return self._figures[key]
        lengths = "step_time" if key.startswith(STEP_PREFIX) else "time"
        return np.full(len(self._figures.get(lengths, ())), np.nan)

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)


def _listed(column: np.ndarray) -> Column:
    return [value if math.isfinite(value) else None for value in column.tolist()]


def _listed_or_none(column: np.ndarray) -> Column | None:
    values = _listed(column)
    return None if all(value is None for value in values) else values


def _largest(column: np.ndarray) -> float | None:
    finite = column[np.isfinite(column)]
    return float(finite.max()) if finite.size else None


def _total(column: np.ndarray) -> int | None:
    """The sum of a figure of whole numbers; None where the run does not have it."""
    return int(column.sum()) if np.isfinite(column).all() else None
