"""The figures of a run, each declared once: name, meaning and unit.

Whoever computes a figure declares it here; the store, the report and the benchmarks take names,
meanings and units from the declaration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STEP_PREFIX = "step_"


@dataclass(frozen=True)
class Column:
    """One figure of every stored time, or of every accepted step."""

    name: str
    """What the time loop calls it, e.g. `energy`; one name may be used once along each axis."""

    along: Literal["time", "step"]
    """Whether stored times or accepted steps have it."""

    long_name: str
    """What it is, as a label says it."""

    unit: str
    """In the problem's own words: `x` length, `t` time, `F` energy, `s` seconds, `1` a number."""

    integer: bool = False
    """Whether its values are whole numbers."""

    optional: bool = False
    """Whether a sound run may lack a value, which is then not-a-number."""

    @property
    def key(self) -> str:
        """The name that is unique in a run: `energy` along time, `step_energy` along the steps."""
        return self.name if self.along == "time" else STEP_PREFIX + self.name


def along(axis: Literal["time", "step"], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Those of `columns` that run along one axis, in their order."""
    return tuple(column for column in columns if column.along == axis)


LOOP_COLUMNS = (
    Column("steps_taken", "time", "steps before the row", "1", integer=True),
    Column("next_step_size", "time", "step that is proposed next", "t"),
    Column(
        "controller_error", "time",
        "error of the last accepted step over its tolerance, as the controller remembers it", "1",
    ),
    Column("stage", "time", "number of the stage whose map moves", "1", integer=True),
    Column("wall_seconds", "time", "seconds of computation up to the row", "s"),
    Column("time", "step", "time at which the step begins", "t"),
    Column("size", "step", "length of the step", "t"),
    Column("rejected", "step", "attempts that were rejected before the step", "1", integer=True),
    Column("eta_norm", "step", "|eta| where the step begins", "1/t"),
    Column("seconds", "step", "seconds of computation of the step", "s"),
)  # fmt: skip

JUDGE_COLUMNS = (
    Column("energy", "time", "F(rho), mean over the evaluation sample", "F"),
    Column(
        "energy_rate_measured", "time", "dF/dt of the evaluation sample's energy along eta", "F/t"
    ),
    Column(
        "kl_divergence", "time",
        "KL to the stationary law, with the evaluation sample's sampling error", "1",
        optional=True,
    ),
    Column(
        "projection_error_fresh", "time", "E|J eta + f|^2 on the evaluation sample", "x^2/t^2",
        optional=True,
    ),
    Column(
        "map_error", "time",
        "(E|T - T_exact|^2)^(1/2) on the evaluation sample, at least W2", "x", optional=True,
    ),
    Column(
        "map_displacement", "time", "(E|T_exact - z|^2)^(1/2) on the evaluation sample", "x",
        optional=True,
    ),
    Column(
        "symmetric_kl", "time", "symmetric KL of the fitted Gaussian to the exact one", "1",
        optional=True,
    ),
    Column(
        "folded", "time", "evaluation samples at which the map has folded", "1", integer=True
    ),
    Column("energy", "step", "energy where the step begins", "F"),
    Column(
        "projection_error_fresh", "step",
        "E|J eta + f|^2 on the evaluation sample where the step begins", "x^2/t^2", optional=True,
    ),
)  # fmt: skip

PWGF_COLUMNS = (
    Column("energy_rate", "time", "-eta^T G eta on the samples of the step", "F/t"),
    Column(
        "projection_error", "time",
        "E|J eta + f|^2 on the samples of the step [PWGF (3.27)]", "x^2/t^2", optional=True,
    ),
    Column(
        "force_square", "time", "E|f|^2 on the samples of the step", "x^2/t^2", optional=True
    ),
    Column("energy_rate", "step", "-eta^T G eta where the step begins", "F/t"),
    Column(
        "projection_error", "step", "E|J eta + f|^2 where the step begins", "x^2/t^2",
        optional=True,
    ),
    Column("products", "step", "products with the metric", "1", integer=True),
    Column("solves", "step", "linear solves", "1", integer=True),
    Column("unconverged", "step", "solves that ended above the tolerance", "1", integer=True),
    Column("residual", "step", "largest true residual of a solve, over the right-hand side", "1"),
    Column(
        "nonlinearity", "step",
        "motion of the samples other than linear in theta, over the linear one", "1",
    ),
    Column("shift", "step", "epsilon over the largest eigenvalue of the metric", "1"),
)  # fmt: skip
