"""The figures of a run: `hpc-wgf report PATH --json` prints exactly these keys."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..accounts import ATTRIBUTE
from ..columns import STEP_PREFIX
from ..store import StoredRun
from .energy_law import EnergyLaw
from .further import Corrected, Expectations

Column = list[float | None]
"""One figure at every stored time, (rows,); None where the run has no value."""
AT_REST = 0.01
"""Share of the largest dissipation, below which a flow is near rest and its force noise."""


@dataclass(frozen=True)
class Summary:
    """A run in figures.

    Lists have one entry for each stored time. A figure is None where there is nothing to compare
    with (no exact solution, say) or where the method of the run does not have it. Energies and
    errors are means over the evaluation sample, which no step was computed from, unless they are
    said to be on the samples of the step. Units: x stands for that of length, t for that of time.
    """

    problem: str
    """Name of the problem."""

    dimension: int
    """Dimension d of x ∈ ℝᵈ."""

    ranks: int
    """Number of ranks, after a resumption that of the last part of the run."""

    samples: int
    """Number n of samples in a step, of all ranks together."""

    parameters: int
    """Number p of parameters of the map."""

    map: str | None
    """The kinds of maps whose composition moves in a stage, in the order in which they act."""

    map_chosen: bool
    """Whether they were chosen from the problem, as the run file names none."""

    stages: int
    """Number of stages: 1 for one map from start to end."""

    interaction_routes: list[str]
    """How the sum over pairs of each interaction was taken, a value of `choices.Route`."""

    preconditioner: str | None
    """Preconditioner of the linear solves, a value of `choices.Preconditioning`."""

    until: float
    """Time at which the run is to end."""

    finished: bool
    """Whether that time has been reached."""

    times: list[float]
    """The stored times."""

    energy: Column
    """F(ρ)."""

    left_out_of_energy: str | None
    """What `energy` is given without, where samples alone tell the start density λ: β∫λ log λ."""
    energy_may_rise: bool
    """Whether it may rise along the flow, as with a drift or a potential that moves."""

    energy_rate: Column
    """dF/dt = −ηᵀĜη on the samples of the step, in units of F/t; with mobility P and drift b
    −E|P^{−½}Jη|² + E[bᵀP⁻¹Jη] + ∂ₜF."""

    energy_rate_measured: Column | None
    """dF/dt of `energy` along θ' = η, in units of F/t."""

    kl_divergence: Column | None
    """KL(ρ‖ρ_∞) to the stationary density, where its normalisation is known."""

    map_error: Column | None
    """(E|T − T_exact|²)^½, in units of x."""

    map_error_relative: Column | None
    """`map_error` over the displacement (E|T_exact − z|²)^½; 0 at the start, before any motion."""

    error_bound_relative: Column | None
    """A bound of W₂(ρ_θ, ρ), mostly of `map_error` too, up to the noise of the evaluation sample:
    over the same displacement as `map_error_relative`, or where that is not known over that of the
    map itself; None at the start."""

    error_estimate_relative: Column | None
    """An estimate of `map_error`, likewise; None also where it is above the displacement, as errors
    are not small then."""

    error_is_estimated: bool
    """Whether the run has followed the error, also where its estimate is above the displacement."""

    convexity: float | None
    """κ, with which the bound grows like e^{−κt}; the least that was met, if it is that of the
    sample."""

    convexity_source: str | None
    """Where κ is known from: "energy", "given" or "sample", for which the bound is none in the
    strict sense."""

    bound_left_out: str | None
    """Why bound and estimate are not known for the flow; None where they are."""

    symmetric_kl: Column | None
    """KL(p‖q) + KL(q‖p), q the exact law where that is Gaussian, p the law of the affine map that
    fits T best."""

    log_z: float | None
    """log ∫ e^{−V/β}, from the importance weights w = e^{−V/β}/ρ of the evaluation sample at the
    last stored time."""

    log_z_error: float | None
    """Its standard error, which says nothing where few samples have all the weight."""

    effective_samples: float | None
    """(Σw)²/Σw², of as many as the evaluation sample has."""

    projection_error: Column
    """δ = E|Jη + f|² on the samples of the step [PWGF (3.27)], in units of x²/t²."""

    projection_error_fresh: Column
    """δ on the evaluation sample, in units of x²/t²."""

    force_square_median: Column | None
    """The median of |f|² on the evaluation sample, in units of x²/t². Where it is far below the
    mean E|f|², a few samples, at which the density is rough, make up most of that mean and of δ;
    `projection_error_fresh` far below the median then says that the map follows the others."""

    projection_error_relative: Column
    """(E|Jη + f|²/E|f|²)^½ on the samples of the step, to which η was fitted: with too few samples
    for so many parameters it is far below the next one."""

    projection_error_fresh_relative: Column
    """The same on the evaluation sample: the share of the force that the map does not follow."""

    folded: list[int]
    """Number of evaluation samples at which the map has folded: their density is not known."""

    left_out: int | None
    """The largest number of new samples at which the map had folded before a step, which were left
    out of it."""

    steps: int
    """Number of accepted steps."""

    rejected: int | None
    """Number of rejected attempts at a step."""

    products_per_solve: float | None
    """Products with Ĝ in a linear solve, the mean over the run."""

    unconverged: int | None
    """Number of solves that stopped short of their tolerance `rtol`."""

    worst_residual: float | None
    """The largest true residual of a solve, relative to its right-hand side."""

    largest_shift: float | None
    """The largest shift ε/‖Ĝ‖ of the solves, ε as in (Ĝ + εI) η = −∇F."""

    worst_nonlinearity: float | None
    """The largest ratio in a step of the samples' motion that is not linear in θ to the linear
    motion, among the steps with at least a hundredth of the largest dissipation: near a steady
    state the motion is noise, and too small to matter."""

    energy_law: EnergyLaw | None
    """How well F falls by what is dissipated; None before the first step."""

    start_warnings: list[str]
    """What was to be known before the run, as that the potential has no lower bound."""

    accuracy: dict[str, Any] | None
    """The accuracy that was asked for ("wanted"), what was chosen for it, and "note" where pilot
    runs did not reach it; see `hpc_wgf.run.accuracy`. None where none was."""

    seconds_bound: float | None
    """Seconds of bound and estimate."""

    seconds_drawing: float | None
    """Seconds of drawing samples and of carrying them through frozen stages."""

    wall_seconds: float
    """Seconds of computation up to the last row."""

    versions: dict[str, str]
    """Versions of the packages that took part, by their names."""

    account: list[dict[str, Any]] = field(default_factory=list)
    """Where the time went, one entry for each number of "ranks" that have worked on the run: their
    "cpu_seconds", and by "parts" (see `hpc_wgf.accounts.Part`) "seconds" by the clock and of these
    "waiting" for other ranks, both means over the ranks; and over all ranks "cpu_seconds", those of
    threads "aside", and how many times it was entered. Empty for stores of earlier versions."""

    kl_exact: Column | None = None
    """KL(ρ_θ‖ρ) to the exact density of the flow, from samples of the map and Langevin paths. None
    where it was not asked for, or the flow is no reversible Fokker–Planck flow."""

    kl_exact_error: Column | None = None
    """The standard error of `kl_exact`."""

    kl_exact_notes: list[str] = field(default_factory=list)
    """Why `kl_exact` or some of its values are missing, and what else is to be known of it."""

    corrected: Corrected | None = None
    """Of the samples moved by the estimated error. None where it was not asked for."""

    expectations: Expectations | None = None
    """Of the stationary density, by importance weights. None where they were not asked for."""

    @classmethod
    def of(cls, attributes: Mapping[str, Any], column: Mapping[str, np.ndarray]) -> Summary:
        """The summary of a run, from its attributes as a store holds them and its figures.

        `column`: arrays by key (see `Column.key` in `hpc_wgf.columns`), over the stored times or,
        with keys `step_…`, over the accepted steps; figures may be missing.
        """
        column = column if isinstance(column, _Stored) else _Given(column)
        map_error = column["map_error"]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = map_error / column["map_displacement"]
            projection = np.sqrt(column["projection_error"] / column["force_square"])
            fresh = np.sqrt(column["projection_error_fresh"] / _fresh_force_square(column))
        relative = np.where(map_error == 0.0, 0.0, relative)
        bound, estimate = relative_errors(
            column["error_bound"], column["error_estimate"], displacement(column)
        )
        solves = _total(column["step_solves"])
        products = _total(column["step_products"])
        return cls(
            problem=attributes["problem"],
            dimension=attributes["dimension"],
            ranks=attributes["ranks"],
            samples=attributes["samples"],
            parameters=attributes["parameters"],
            map=attributes.get("map"),
            map_chosen=attributes.get("map_chosen", False),
            stages=1 + int(np.nanmax(column["stage"], initial=0.0)),
            preconditioner=attributes.get("preconditioner"),
            interaction_routes=attributes.get("interaction_routes", []),
            until=attributes["until"],
            finished=bool(column["time"].size and column["time"][-1] >= attributes["until"]),
            times=column["time"].tolist(),
            energy=_listed(column["energy"]),
            left_out_of_energy=attributes.get("left_out_of_energy"),
            energy_rate=_listed(column["energy_rate"]),
            energy_rate_measured=_listed_or_none(column["energy_rate_measured"]),
            kl_divergence=_listed_or_none(column["kl_divergence"]),
            map_error=_listed_or_none(map_error),
            map_error_relative=_listed_or_none(relative),
            error_bound_relative=bound,
            error_estimate_relative=estimate,
            error_is_estimated=bool(np.isfinite(column["error_estimate"]).any()),
            convexity=_last(column["convexity"]),
            convexity_source=attributes.get("convexity_source"),
            energy_may_rise=attributes.get("energy_may_rise", False),
            bound_left_out=attributes.get("bound_left_out"),
            symmetric_kl=_listed_or_none(column["symmetric_kl"]),
            log_z=_last(column["log_z"]),
            log_z_error=_last(column["log_z_error"]),
            effective_samples=_last(column["effective_samples"]),
            projection_error=_listed(column["projection_error"]),
            projection_error_fresh=_listed(column["projection_error_fresh"]),
            force_square_median=_listed_or_none(column["force_square_median"]),
            projection_error_relative=_listed(projection),
            projection_error_fresh_relative=_listed(fresh),
            folded=np.nan_to_num(column["folded"]).astype(int).tolist(),
            left_out=None if (most := _largest(column["step_left_out"])) is None else int(most),
            steps=column["step_time"].size,
            rejected=_total(column["step_rejected"]),
            products_per_solve=products / solves if solves and products is not None else None,
            unconverged=_total(column["step_unconverged"]),
            worst_residual=_largest(column["step_residual"]),
            largest_shift=_largest(column["step_shift"]),
            worst_nonlinearity=_largest(_in_motion(column)),
            energy_law=EnergyLaw.of(column),
            start_warnings=attributes.get("warnings", []),
            accuracy=attributes.get("accuracy"),
            seconds_bound=_summed(column["step_seconds_bound"]),
            seconds_drawing=_summed(column["step_seconds_drawing"]),
            wall_seconds=float(column["wall_seconds"][-1]) if column["time"].size else 0.0,
            versions=attributes["versions"],
            account=attributes.get(ATTRIBUTE) or [],
        )

    @classmethod
    def of_store(cls, run: StoredRun) -> Summary:
        """The summary of a stored run."""
        return cls.of(run.attributes, _Stored(run))

    def to_json(self) -> str:
        """The summary as one JSON object, in which None is null."""
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


def displacement(column: Mapping[str, np.ndarray]) -> np.ndarray:
    """(E|T_exact(z) − z|²)^½ at the stored times, over which errors are reported, in units of x:
    that of the exact map, or where it is not known of the map itself; not-a-number
    where it is 0."""
    own, exact = column["displacement"], column["map_displacement"]
    displaced = np.where(np.isnan(exact), own, exact)
    return np.where(displaced > 0.0, displaced, np.nan)


def relative_errors(
    bound: np.ndarray, estimate: np.ndarray, displaced: np.ndarray
) -> tuple[Column | None, Column | None]:
    """Bound and estimate of the error over the displacement. An estimate above the displacement is
    none, as the error is not small then."""
    return _listed_or_none(bound / displaced), _listed_or_none(_below_one(estimate / displaced))


def _fresh_force_square(column: Mapping[str, np.ndarray]) -> np.ndarray:
    """E|f|² on the evaluation sample; where a store does not say it, on the samples of the step."""
    fresh = column["force_square_fresh"]
    return np.where(np.isnan(fresh), column["force_square"], fresh)


def _listed(column: np.ndarray) -> Column:
    """The values as a list, with None for those that are not finite."""
    return [value if math.isfinite(value) else None for value in column.tolist()]


def _listed_or_none(column: np.ndarray) -> Column | None:
    """The same; None where no value is finite."""
    values = _listed(column)
    return None if all(value is None for value in values) else values


def _summed(column: np.ndarray) -> float | None:
    """The sum of the finite values; None where there is none."""
    finite = column[np.isfinite(column)]
    return float(finite.sum()) if finite.size else None


def _below_one(column: np.ndarray) -> np.ndarray:
    """The values up to 1."""
    return np.where(column <= 1.0, column, np.nan)


def _last(column: np.ndarray) -> float | None:
    """The last value; None where it is not finite, or there is none."""
    return float(column[-1]) if column.size and math.isfinite(column[-1]) else None


def _largest(column: np.ndarray) -> float | None:
    """The largest finite value; None where there is none."""
    finite = column[np.isfinite(column)]
    return float(finite.max()) if finite.size else None


def _in_motion(column: Mapping[str, np.ndarray]) -> np.ndarray:
    """The nonlinearity of those steps with at least a hundredth of the largest dissipation."""
    rate = np.abs(np.nan_to_num(column["step_energy_rate"]))
    return column["step_nonlinearity"][rate >= AT_REST * rate.max(initial=0.0)]


def _total(column: np.ndarray) -> int | None:
    """The sum of a figure of whole numbers; None where the run does not have the figure."""
    return int(column.sum()) if np.isfinite(column).all() else None
