"""The energy law along a run: F never rises, and falls by what is dissipated,

F(s) − F(t) = ∫ₛᵗ ηᵀĜη dτ        (dF/dt = −ηᵀĜη, [PWGF (3.18)]).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_POINTS = 400  # of a run, at most, between which its parts are looked at
_SHARE = 0.1  # of the run's dissipation that a part must have


@dataclass(frozen=True)
class Interval:
    """A part of a run."""

    begun: float
    """Its first time."""

    ended: float
    """Its last time."""

    fall: float
    """By how much the energy fell, on the evaluation sample."""

    dissipated: float
    """∫ ηᵀĜη dt by the trapezoidal rule over the steps, on the steps' samples."""

    @property
    def scale(self) -> float:
        """The larger of `fall` and `dissipated`."""
        return max(abs(self.fall), abs(self.dissipated))

    @property
    def gap(self) -> float:
        """|fall − dissipated| over the larger of both."""
        return abs(self.fall - self.dissipated) / self.scale if self.scale else 0.0


@dataclass(frozen=True)
class EnergyLaw:
    """What fell against what was dissipated."""

    whole: Interval
    """The run."""

    worst: Interval | None
    """Of its parts with a tenth of the dissipation and more, the one with the largest gap; None
    where the force has no variance, and single steps are noise."""

    rise: float
    """The largest rise of the energy in one step; 0 where there is none."""

    rise_time: float
    """Where that step began."""

    @classmethod
    def of(cls, column: Mapping[str, np.ndarray]) -> EnergyLaw | None:
        """From the arrays of a run by name; None where no step has been taken, or a value is not
        finite."""
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
