"""What a run's Zarr v3 group holds.

Along `time`, one entry a committed row: `theta` (time, parameter), `particles` (time, sample,
space), `log_density` (time, sample) and scalars. Along `step`, one entry an accepted step before
the last committed row. Attributes: the whole configuration, versions, ranks, the schema's version.

A row counts when the group's consolidated metadata show it: they are replaced in one atomic
rename, after all ranks have written their shards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA_VERSION = 3
_NEW_IN_3 = frozenset({"step_eta_norm", "step_nonlinearity", "step_shift"})
# Older schemas that can be read, with the scalars that they do not have.
OLDER = {1: frozenset({"energy_rate_measured", "folded"}) | _NEW_IN_3, 2: _NEW_IN_3}


@dataclass(frozen=True)
class Schema:
    """Names of the scalar arrays. `row_fields` are named as in the observed row, `state_fields`
    come from its state, `step_fields` maps array name → attribute of the observed step."""

    row_fields: tuple[str, ...] = (
        "energy", "energy_rate", "energy_rate_measured", "kl_divergence", "projection_error",
        "projection_error_fresh", "force_square", "map_error", "map_displacement", "symmetric_kl",
        "folded", "wall_seconds",
    )  # fmt: skip
    state_fields: tuple[str, ...] = ("time", "steps_taken", "next_step_size", "controller_error")
    step_fields: Mapping[str, str] = field(
        default_factory=lambda: {
            "step_time": "time",
            "step_size": "step_size",
            "step_energy": "energy",
            "step_energy_rate": "energy_rate",
            "step_projection_error": "projection_error",
            "step_projection_error_fresh": "projection_error_fresh",
            "step_products": "products",
            "step_solves": "solves",
            "step_unconverged": "unconverged",
            "step_residual": "residual",
            "step_rejected": "rejected",
            "step_eta_norm": "eta_norm",
            "step_nonlinearity": "nonlinearity",
            "step_shift": "shift",
            "step_seconds": "seconds",
        }
    )

    @property
    def row_scalars(self) -> tuple[str, ...]:
        """All scalar arrays along `time`."""
        return (*self.state_fields, *self.row_fields)


SCHEMA = Schema()
INTEGERS = frozenset(
    {"folded", "steps_taken", "step_products", "step_solves", "step_unconverged", "step_rejected"}
)
# What xarray shows beside each array; lengths are in the units of the start density's samples,
# times in those of the run file.
LONG_NAMES = {
    "particles": "images T(z) of the evaluation sample",
    "log_density": "log rho at the particles; not a number where the map has folded",
    "theta": "parameters of the map",
    "time": "time of the row",
    "steps_taken": "steps before the row",
    "next_step_size": "step that is proposed next",
    "controller_error": "error of the last accepted step, as the controller remembers it",
    "energy": "F(rho), mean over the evaluation sample",
    "energy_rate": "-eta^T G eta on the samples of the step",
    "energy_rate_measured": "dF/dt of the evaluation sample's energy along eta",
    "kl_divergence": "KL to the stationary law, with the evaluation sample's sampling error",
    "projection_error": "E|J eta + f|^2 on the samples of the step [PWGF (3.27)]",
    "projection_error_fresh": "E|J eta + f|^2 on the evaluation sample",
    "force_square": "E|f|^2 on the samples of the step",
    "map_error": "(E|T - T_exact|^2)^(1/2) on the evaluation sample, at least W2",
    "map_displacement": "(E|T_exact - z|^2)^(1/2) on the evaluation sample",
    "symmetric_kl": "symmetric KL of the fitted Gaussian to the exact one",
    "folded": "evaluation samples at which the map has folded",
    "wall_seconds": "seconds of computation up to the row",
    "step_time": "time at which the step begins",
    "step_size": "length of the step",
    "step_energy": "energy where the step begins",
    "step_energy_rate": "energy_rate where the step begins",
    "step_projection_error": "projection_error where the step begins",
    "step_projection_error_fresh": "projection_error_fresh where the step begins",
    "step_products": "products with the metric",
    "step_solves": "linear solves",
    "step_unconverged": "solves that ended above the tolerance",
    "step_residual": "largest true residual of a solve, over the right-hand side",
    "step_rejected": "attempts that were rejected before the step",
    "step_eta_norm": "|eta| where the step begins",
    "step_nonlinearity": "motion of the samples other than linear in theta, over the linear one",
    "step_shift": "epsilon over the largest eigenvalue of the metric",
    "step_seconds": "seconds of computation of the step",
}
