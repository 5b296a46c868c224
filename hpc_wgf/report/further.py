"""Figures that a report has only where they are asked for, as they are computed anew."""

from __future__ import annotations

from dataclasses import dataclass

Values = list[float | None]
"""At every stored time, (rows,)."""
LARGEST_TAIL_INDEX = 0.7
"""Of weights that can be trusted."""
FEWEST_EFFECTIVE = 50
"""Effective samples, below which a standard error by weights says nothing."""


@dataclass(frozen=True)
class Corrected:
    """Of the samples x − e, e the estimated error, at the stored times: None at a time where e is
    not followed."""

    map_error_relative: Values | None
    """(E|T(z) − e − T_exact(z)|²/E|T_exact(z) − z|²)^½. None without an exact map."""
    map_error_relative_before: Values | None
    """The same without e, at the same samples."""
    second_moment: Values
    """E|x − e|², in units of x²."""
    second_moment_before: Values
    """E|x|² at the same samples."""


@dataclass(frozen=True)
class Expectations:
    """Of the stationary density Q ∝ e^{−V/β}, from the samples x of ρ at the last stored time and
    their importance weights w = e^{−V/β}/ρ, Σw = 1: E[a] = Σ w a(x)."""

    time: float
    """t."""
    mean: list[float]
    """E[x] by the samples themselves, of every coordinate."""
    mean_weighted: list[float]
    """E[x] of Q."""
    mean_error: list[float]
    """Standard errors of `mean_weighted`, (Σ w² (x − E[x])²)^½."""
    variance: list[float]
    """Var x by the samples themselves, of every coordinate."""
    variance_weighted: list[float]
    """Var x of Q."""
    variance_error: list[float]
    """Standard errors of `variance_weighted`."""
    modes: list[list[float]] | None
    """The modes of Q. None where these are not known, or one."""
    shares: list[float] | None
    """Shares of the samples that belong to each mode."""
    shares_weighted: list[float] | None
    """The shares of Q."""
    shares_error: list[float] | None
    """Standard errors of `shares_weighted`."""
    effective_samples: float
    """1/Σw²."""
    tail_index: float | None
    """k̂ of the generalised Pareto law of the largest weights [Vehtari et al., Pareto smoothed
    importance sampling]: above .7 these decide, and no weighted figure can be trusted. None for
    equal weights."""

    @property
    def degenerate(self) -> bool:
        """Whether few weights decide."""
        heavy = self.tail_index is not None and self.tail_index > LARGEST_TAIL_INDEX
        return heavy or self.effective_samples < FEWEST_EFFECTIVE
