"""Memory of one rank: what is held in each part of a step, and which of them takes most.

Of tensors and the process; what the C library keeps of freed memory, up to a tenth on a CPU, is not
in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..choices import Form
from ..ensemble import GRADIENT_CHUNK
from ..maps import budget_on
from .cost_model import CostModel
from .devices import Device
from .partition import Job, Partition

# θ-vectors: nine of MINRES, nine of states, velocities and the map, four of a linearizer's copies
# and four that hold integers; beside them the sums of a product, log₂ of the chunks.
_VECTORS = 26


@dataclass(frozen=True)
class Phase:
    """A part of a step. `held`: bytes by what they are for, the base of the process among them."""

    name: str
    held: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.held.values())

    @property
    def largest(self) -> str:
        """What takes most."""
        return max(self.held, key=lambda name: self.held[name])


def budget(job: Job, device: Device) -> int:
    """Bytes that linearisations may keep on a rank."""
    return job.options.budget or budget_on(device.memory)


def kept_share(cost_model: CostModel, partition: Partition, limit: int) -> float:
    """Of a step's samples those whose linearisation fits into `limit` bytes; the others' is
    computed anew in every product."""
    kept = 0.0
    for chunk in partition.step.chunks:
        nbytes = chunk * cost_model.sizes.linearised
        kept += nbytes if kept + nbytes <= limit else 0.0
    return kept / max(1.0, partition.step.samples * cost_model.sizes.linearised)


def peak(
    cost_model: CostModel, partition: Partition, device: Device, limit: int, made: float
) -> Phase:
    """The phase of a step that takes most memory."""
    return max(phases(cost_model, partition, device, limit, made), key=lambda phase: phase.total)


def phases(
    cost_model: CostModel, partition: Partition, device: Device, limit: int, made: float
) -> list[Phase]:
    """Bytes held at once by a rank while the next velocity is computed (its samples and those of
    the step before it are there), and while a row is measured. `limit`: of kept linearisations,
    bytes. `made`: preconditioners in a step; they and the one before it are held until it ends."""
    sizes, m, seen = cost_model.sizes, partition.step.samples, partition.evaluation.samples
    always = {
        "base": float(device.base),
        "evaluation sample": seen * (sizes.reference + sizes.seen),
        "parameter vectors": _vectors(cost_model, partition),
    }
    step = {**always, **_of_two_steps(cost_model, partition, made)}
    images, kept = {"images and scores": m * sizes.pushed}, _kept(cost_model, partition, limit)
    forces = {"forces": m * (sizes.forces + sizes.force), **kept}
    if cost_model.form is Form.ENERGY:
        forces["gradient of the energy"] = _differentiating(cost_model, partition.step.chunk)
    system = {"images and forces": m * sizes.system, **kept}
    making = 0.0 if cost_model.preconditioner is None else cost_model.preconditioner.passing
    shown = {"images being measured": seen * (sizes.pushed + sizes.seen_forces + sizes.seen)}
    row = {"images of a row": seen * sizes.seen}

    def pushing(chunk: int) -> dict[str, float]:
        return {"a chunk being pushed": cost_model.pushing.at(chunk)}

    rate = {"gradient of the energy": _differentiating(cost_model, partition.evaluation.chunk)}
    return [
        Phase("check of the start", {**always, "check of the virial": cost_model.virial}),
        Phase("pushing samples", {**step, **images, **pushing(partition.step.chunk)}),
        Phase("assembly", {**step, **images, **forces}),
        Phase("making a preconditioner", {**step, **system, "its making": making}),
        Phase("measurement", {**step, **shown, **pushing(partition.evaluation.chunk)}),
        Phase("rate of a row", {**step, **row, **rate}),
    ]


def _of_two_steps(cost_model: CostModel, partition: Partition, made: float) -> dict[str, float]:
    sizes = cost_model.sizes
    held = {"samples of two steps": 2.0 * partition.step.samples * sizes.reference}
    if partition.validation is not None:
        a_sample = 2.0 * sizes.reference + sizes.system + sizes.linearised
        held["held-out samples"] = partition.validation.samples * a_sample
    if cost_model.preconditioner is not None:
        held["preconditioners"] = (1.0 + math.ceil(made)) * cost_model.preconditioner.kept
    return held


def _kept(cost_model: CostModel, partition: Partition, limit: int) -> dict[str, float]:
    sizes, share = cost_model.sizes, kept_share(cost_model, partition, limit)
    anew = sizes.linearised if share < 1.0 else 0.0
    return {
        "kept linearisations": share * partition.step.samples * sizes.linearised,
        "buffers of products": partition.step.chunk * (sizes.buffers + anew),
    }


def _differentiating(cost_model: CostModel, chunk: int) -> float:
    return cost_model.differentiating.at(min(chunk, GRADIENT_CHUNK))


def _vectors(cost_model: CostModel, partition: Partition) -> float:
    summed = 1.0 + math.ceil(math.log2(max(2, len(partition.step.chunks))))
    return cost_model.parameters * cost_model.itemsize * (_VECTORS + summed)
