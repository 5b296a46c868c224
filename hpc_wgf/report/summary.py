"""The figures of a run: `hpc-wgf report PATH --json` prints exactly these keys."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..store import StoredRun
from .energy_law import EnergyLaw

Column = list[float | None]


@dataclass(frozen=True)
class Summary:
    """Lists run over the stored times. Errors and energies are on the evaluation sample, which
    no step was fitted to; None where there is nothing to compare with.

    `interaction_routes`: how each sum over pairs was taken (`interactions.Route`).
    `energy_rate`: −ηᵀĜη on the run's samples; `energy_rate_measured`: dF/dt of `energy`.
    `map_error`: (E|T − T_exact|²)^½; `map_error_relative`: over (E|T_exact − z|²)^½, and 0 at the
    start, where neither has moved. `projection_error_relative`: (E|Jη + f|²/E|f|²)^½ on the
    run's samples, the share of the force that the map cannot follow. `folded`: samples of the
    evaluation sample whose density is not known. `kl_divergence`: to the stationary law, where
    its normalisation is known.
    `preconditioner`: of the solves. `largest_shift`: ε/‖Ĝ‖ of the step where it was largest;
    `worst_nonlinearity`: of a step, relative to its length (`observers.Step`).
    `energy_law`: what fell against what was dissipated (`EnergyLaw`).
    `symmetric_kl`: to the exact Gaussian law. `products_per_solve`: mean over the run;
    `unconverged` solves ended above the tolerance, the worst at `worst_residual` (true).
    """

    problem: str
    dimension: int
    ranks: int
    samples: int
    parameters: int
    interaction_routes: list[str]
    preconditioner: str | None
    until: float
    finished: bool
    times: list[float]
    energy: Column
    energy_rate: Column
    energy_rate_measured: Column | None
    kl_divergence: Column | None
    map_error: Column | None
    map_error_relative: Column | None
    symmetric_kl: Column | None
    projection_error: Column
    projection_error_fresh: Column
    projection_error_relative: Column
    folded: list[int]
    steps: int
    rejected: int
    products_per_solve: float | None
    unconverged: int
    worst_residual: float | None
    largest_shift: float | None
    worst_nonlinearity: float | None
    energy_law: EnergyLaw | None
    wall_seconds: float
    versions: dict[str, str]

    @classmethod
    def of(cls, attributes: Mapping[str, Any], column: Mapping[str, np.ndarray]) -> Summary:
        """From a run's attributes and its arrays by name."""
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = column["map_error"] / column["map_displacement"]
            projection = np.sqrt(column["projection_error"] / column["force_square"])
        relative = np.where(column["map_error"] == 0.0, 0.0, relative)
        solves = int(column["step_solves"].sum())
        residuals = column["step_residual"]
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
            map_error=_listed_or_none(column["map_error"]),
            map_error_relative=_listed_or_none(relative),
            symmetric_kl=_listed_or_none(column["symmetric_kl"]),
            projection_error=_listed(column["projection_error"]),
            projection_error_fresh=_listed(column["projection_error_fresh"]),
            projection_error_relative=_listed(projection),
            folded=np.nan_to_num(column["folded"]).astype(int).tolist(),
            steps=residuals.size,
            rejected=int(column["step_rejected"].sum()),
            products_per_solve=float(column["step_products"].sum()) / solves if solves else None,
            unconverged=int(column["step_unconverged"].sum()),
            worst_residual=_largest(residuals),
            largest_shift=_largest(column["step_shift"]),
            worst_nonlinearity=_largest(column["step_nonlinearity"]),
            energy_law=EnergyLaw.of(column),
            wall_seconds=float(column["wall_seconds"][-1]) if column["time"].size else 0.0,
            versions=attributes["versions"],
        )

    @classmethod
    def of_store(cls, run: StoredRun) -> Summary:
        """From a store."""
        return cls.of(run.attributes, _Columns(run))

    def to_json(self) -> str:
        """One JSON object; what is not finite is null."""
        return json.dumps(asdict(self), allow_nan=False)


class _Columns(Mapping[str, np.ndarray]):
    def __init__(self, run: StoredRun) -> None:
        self._run = run

    def __getitem__(self, name: str) -> np.ndarray:
        return self._run.column(name)

    def __iter__(self) -> Any:
        return iter(self._run.group)

    def __len__(self) -> int:
        return len(self._run.group)


def _listed(column: np.ndarray) -> Column:
    return [value if math.isfinite(value) else None for value in column.tolist()]


def _listed_or_none(column: np.ndarray) -> Column | None:
    values = _listed(column)
    return None if all(value is None for value in values) else values


def _largest(column: np.ndarray) -> float | None:
    finite = column[np.isfinite(column)]
    return float(finite.max()) if finite.size else None
