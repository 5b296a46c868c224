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
