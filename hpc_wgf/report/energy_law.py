"""The energy law along a run: F never rises, and falls by what is dissipated,

F(0) − F(t) = ∫₀ᵗ ηᵀĜη ds        (dF/dt = −ηᵀĜη, [PWGF (3.18)]).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EnergyLaw:
    """`fall`: of the energy over the run, on the evaluation sample. `dissipated`: ∫ ηᵀĜη dt by the
    trapezoidal rule over the steps, on the steps' samples. `rise`: the largest in one step, which
    began at `rise_time`; 0 where there is none."""

    fall: float
    dissipated: float
    rise: float
    rise_time: float

    @classmethod
    def of(cls, column: Mapping[str, np.ndarray]) -> EnergyLaw | None:
        """From the arrays of a run by name; None where no step has been taken, or a value is not
        finite."""
        if not column["step_time"].size:
            return None
        energy = np.append(column["step_energy"], column["energy"][-1])
        rate = np.append(column["step_energy_rate"], column["energy_rate"][-1])
        dissipated = -0.5 * (column["step_size"] * (rate[1:] + rate[:-1])).sum()
        change = np.diff(energy)
        if not np.isfinite([change.sum(), dissipated]).all():
            return None
        worst = int(change.argmax())
        return cls(
            fall=float(energy[0] - energy[-1]),
            dissipated=float(dissipated),
            rise=max(0.0, float(change[worst])),
            rise_time=float(column["step_time"][worst]),
        )

    @property
    def scale(self) -> float:
        """The larger of `fall` and `dissipated`."""
        return max(abs(self.fall), abs(self.dissipated))

    @property
    def gap(self) -> float:
        """|fall − dissipated| over the larger of both."""
        return abs(self.fall - self.dissipated) / self.scale if self.scale else 0.0
