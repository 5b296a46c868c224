"""The energy law along a run: the energy F never rises, and falls by what is dissipated,

F(s) − F(t) = ∫ₛᵗ ηᵀĜη dτ        (dF/dt = −ηᵀĜη, [PWGF (3.18)]).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_POINTS = 400  # At most so many times of a run are ends of the intervals that are compared.
_SHARE = 0.1  # An interval counts if its scale is at least this share of the run's.


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

    @property
    def scale(self) -> float:
        """The larger of |fall| and |dissipated|."""
        return max(abs(self.fall), abs(self.dissipated))

    @property
    def gap(self) -> float:
        """|fall − dissipated| over `scale`, and 0 where that is 0."""
        return abs(self.fall - self.dissipated) / self.scale if self.scale else 0.0


@dataclass(frozen=True)
class EnergyLaw:
    """F(s) − F(t) = ∫ₛᵗ ηᵀĜη dτ, checked along a run."""

    whole: Interval
    """The interval of the whole run."""

    worst: Interval | None
    """The interval with the largest gap among those whose scale is at least a tenth of the run's;
    None where E|f|² does not exist, as single steps are then noise."""

    rise: float
    """The largest rise of F in one step; 0 where it never rises."""

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
        fallen, dissipated = energy[0] - energy, np.append(0.0, dissipated)
        noisy = bool(np.isnan(column["step_projection_error"]).any())
        change = np.diff(energy)
        worst = int(change.argmax())
        return cls(
            whole=_interval(times, fallen, dissipated, 0, len(times) - 1),
            worst=None if noisy else _worst(times, fallen, dissipated),
            rise=max(0.0, float(change[worst])),
            rise_time=float(times[worst]),
        )


def _interval(
    times: np.ndarray, fallen: np.ndarray, dissipated: np.ndarray, begin: int, end: int
) -> Interval:
    return Interval(
        begun=float(times[begin]),
        ended=float(times[end]),
        fall=float(fallen[end] - fallen[begin]),
        dissipated=float(dissipated[end] - dissipated[begin]),
    )


def _worst(times: np.ndarray, fallen: np.ndarray, dissipated: np.ndarray) -> Interval:
    some = np.unique(np.linspace(0, len(times) - 1, _POINTS).astype(int))
    falls = fallen[some][None, :] - fallen[some][:, None]
    losses = dissipated[some][None, :] - dissipated[some][:, None]
    scale = np.maximum(np.abs(falls), np.abs(losses))
    counts = np.triu(scale >= _SHARE * scale[0, -1], 1) & (scale > 0)
    gaps = np.where(counts, np.abs(falls - losses) / np.where(counts, scale, 1.0), -1.0)
    begin, end = np.unravel_index(int(gaps.argmax()), gaps.shape)
    return _interval(times[some], fallen[some], dissipated[some], int(begin), int(end))
