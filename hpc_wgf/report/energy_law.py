"""The energy law along a run: the energy F never rises, and falls by what is dissipated,

F(s) − F(t) = ∫ₛᵗ ηᵀĜη dτ        (dF/dt = −ηᵀĜη, [PWGF (3.18)]).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_POINTS = 400  # At most so many times of a run are ends of the intervals that are compared.
_SHARE = 0.1  # An interval counts if its scale is at least this share of the run's.
_SURE = 5.0  # standard errors of the change of the energy, above which it is no noise


@dataclass(frozen=True)
class Interval:
    """A time interval of a run, with the energy lost in it, measured in two ways."""

    begun: float
    """Its first time, in the problem's unit of time."""

    ended: float
    """Its last time, in the problem's unit of time."""

    fall: float
    """F(begun) − F(ended) on the evaluation sample."""

    dissipated: float
    """∫ ηᵀĜη dt by the trapezoidal rule over the steps, ηᵀĜη on the samples of each step."""

    noise: float
    """A bound of the standard error of `fall`: the sum over the steps of those of the energy's
    change. A constant in the energy does not enter."""

    @property
    def scale(self) -> float:
        """The larger of |fall| and |dissipated|."""
        return max(abs(self.fall), abs(self.dissipated))

    @property
    def gap(self) -> float:
        """|fall − dissipated| over `scale`, and 0 where that is 0."""
        return abs(self.fall - self.dissipated) / self.scale if self.scale else 0.0

    @property
    def is_sure(self) -> bool:
        """Whether fall and dissipated differ by more than five standard errors of `fall`."""
        return abs(self.fall - self.dissipated) > _SURE * self.noise


@dataclass(frozen=True)
class EnergyLaw:
    """F(s) − F(t) = ∫ₛᵗ ηᵀĜη dτ, checked along a run."""

    whole: Interval
    """The interval of the whole run."""

    worst: Interval | None
    """The interval with the largest gap among those whose scale is at least a tenth of the run's,
    of those that are sure if there are any; None where E|f|² does not exist, as single steps are
    then noise."""

    rise: float
    """The largest rise of F in one step, of those above five standard errors; 0 where there is
    none."""

    rise_time: float
    """The time at which that step began."""

    @classmethod
    def of(cls, column: Mapping[str, np.ndarray]) -> EnergyLaw | None:
        """The law of a run, from the arrays of its figures by key (see `Column.key`).

        Arrays run over the stored times, or with keys `step_…` over the accepted steps. None where
        no step has been taken, or an energy or a dissipation is not finite.
        """
        if not column["step_time"].size:
            return None
        times = np.append(column["step_time"], column["time"][-1])
        energy = np.append(column["step_energy"], column["energy"][-1])
        rate = np.append(column["step_energy_rate"], column["energy_rate"][-1])
        dissipated = -0.5 * np.cumsum(column["step_size"] * (rate[1:] + rate[:-1]))
        if not np.isfinite([energy.sum(), dissipated[-1]]).all():
            return None
        change = np.diff(energy)
        # A store that does not say how sure the changes are was written before it could.
        errors = np.nan_to_num(column["step_energy_change_error"])
        path = _Path(times, energy[0] - energy, _from_zero(dissipated), _from_zero(errors.cumsum()))
        noisy = bool(np.isnan(column["step_projection_error"]).any())
        rises = np.where(change > _SURE * errors, change, 0.0)
        return cls(
            whole=path.interval(0, -1),
            worst=None if noisy else path.worst(),
            rise=max(0.0, float(rises.max())),
            rise_time=float(times[rises.argmax()]),
        )


def _from_zero(sums: np.ndarray) -> np.ndarray:
    return np.append(0.0, sums)


@dataclass(frozen=True)
class _Path:
    """What has been lost up to the end of every step, (steps + 1,) each."""

    times: np.ndarray
    fallen: np.ndarray
    dissipated: np.ndarray
    noise: np.ndarray

    def interval(self, begin: int, end: int) -> Interval:
        return Interval(
            begun=float(self.times[begin]),
            ended=float(self.times[end]),
            fall=float(self.fallen[end] - self.fallen[begin]),
            dissipated=float(self.dissipated[end] - self.dissipated[begin]),
            noise=float(self.noise[end] - self.noise[begin]),
        )

    def worst(self) -> Interval:
        """See `EnergyLaw.worst`."""
        # By a set: numpy.unique imports masked arrays.
        some = sorted(set(np.linspace(0, len(self.times) - 1, _POINTS).astype(int).tolist()))
        falls, losses, noise = (
            values[some][None, :] - values[some][:, None]
            for values in (self.fallen, self.dissipated, self.noise)
        )
        apart, scale = np.abs(falls - losses), np.maximum(np.abs(falls), np.abs(losses))
        counts = np.triu(scale >= _SHARE * scale[0, -1], 1) & (scale > 0)
        sure = counts & (apart > _SURE * noise)
        counts = sure if sure.any() else counts
        gaps = np.where(counts, apart / np.where(counts, scale, 1.0), -1.0)
        begin, end = np.unravel_index(int(gaps.argmax()), gaps.shape)
        return self.interval(some[begin], some[end])
