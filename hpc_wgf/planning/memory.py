"""Memory of one rank: what is held in each part of a step, and which of them takes most.

Counted are tensors and the base of the process. Freed memory that the C library keeps, up to a
tenth on a CPU, is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..choices import Form
from ..ensemble import GRADIENT_CHUNK
from ..maps import budget_on
from .devices import Device
from .memory_model import MemoryModel
from .partition import Job, Partition

# Vectors of length p: nine of MINRES, nine of states, velocities and the map, four copies of a
# linearizer and four of integers. The sums of a product, log₂ of the number of chunks, are extra.
_VECTORS = 26


@dataclass(frozen=True)
class Phase:
    """A part of a step, or of the start of a run, with the memory that is held in it."""

    name: str
    """What is done in it."""
    held: Mapping[str, float]
    """Bytes by what they are for, the base of the process included."""

    @property
    def total(self) -> float:
        """All bytes that are held."""
        return sum(self.held.values())

    @property
    def largest(self) -> str:
        """The name of what takes most."""
        return max(self.held, key=lambda name: self.held[name])


def budget(job: Job, device: Device) -> int:
    """Bytes that kept linearisations may take on a rank: as the options say, else by default."""
    return job.options.budget or budget_on(device.memory)


def kept_share(model: MemoryModel, partition: Partition, limit: int) -> float:
    """The share of a rank's samples whose linearisation is kept: as many as fit in `limit` bytes.

    Those of the other samples are computed anew in every product.
    """
    kept = 0.0
    for chunk in partition.step.chunks:
        nbytes = chunk * model.sizes.linearised
        kept += nbytes if kept + nbytes <= limit else 0.0
    return kept / max(1.0, partition.step.samples * model.sizes.linearised)


def peak(
    model: MemoryModel, partition: Partition, device: Device, limit: int, made: float
) -> Phase:
    """The phase in which a rank holds most; arguments as of `phases`."""
    return max(phases(model, partition, device, limit, made), key=lambda phase: phase.total)


def phases(
    model: MemoryModel, partition: Partition, device: Device, limit: int, made: float
) -> list[Phase]:
    """Memory of a rank in each phase of a run.

    While a velocity is computed, the samples of its step and of the step before are both held.
    `limit`: bytes that kept linearisations may take. `made`: preconditioners made in a step; they
    and the one from before are held until the step ends.
    """
    sizes, m, seen = model.sizes, partition.step.samples, partition.evaluation.samples
    always = {
        "base": float(device.base),
        "evaluation sample": seen * (sizes.reference + sizes.seen),
        "parameter vectors": _vectors(model, partition),
        "estimate of the error": model.estimate,
    }
    step = {**always, **_of_two_steps(model, partition, made)}
    images, kept = {"images and scores": m * sizes.pushed}, _kept(model, partition, limit)
    forces = {"forces": m * (sizes.forces + sizes.force), **kept}
    if model.form is Form.ENERGY:
        forces["gradient of the energy"] = _differentiating(model, partition.step.chunk)
    system = {"images and forces": m * sizes.system, **kept}
    making = 0.0 if model.preconditioner is None else model.preconditioner.passing
    shown = {"images being measured": seen * (sizes.pushed + sizes.seen_forces + sizes.seen)}
    row = {"images of a row": seen * sizes.seen}

    def pushing(chunk: int) -> dict[str, float]:
        return {"a chunk being pushed": model.pushing.at(chunk)}

    rate = {"gradient of the energy": _differentiating(model, partition.evaluation.chunk)}
    return [
        Phase("check of the start", {**always, "check of the virial": model.virial}),
        Phase("pushing samples", {**step, **images, **pushing(partition.step.chunk)}),
        Phase("assembly", {**step, **images, **forces}),
        Phase("making a preconditioner", {**step, **system, "its making": making}),
        Phase("measurement", {**step, **shown, **pushing(partition.evaluation.chunk)}),
        Phase("rate of a row", {**step, **row, **rate}),
    ]


def _of_two_steps(model: MemoryModel, partition: Partition, made: float) -> dict[str, float]:
    """Bytes of the samples and preconditioners of a step and of the one before it."""
    sizes = model.sizes
    held = {"samples of two steps": 2.0 * partition.step.samples * sizes.reference}
    if partition.validation is not None:
        a_sample = 2.0 * sizes.reference + sizes.system + sizes.linearised
        held["held-out samples"] = partition.validation.samples * a_sample
    if model.preconditioner is not None:
        held["preconditioners"] = (1.0 + math.ceil(made)) * model.preconditioner.kept
    return held


def _kept(model: MemoryModel, partition: Partition, limit: int) -> dict[str, float]:
    """Bytes of what products with Ĝ need: kept linearisations, and buffers for one chunk."""
    sizes, share = model.sizes, kept_share(model, partition, limit)
    anew = sizes.linearised if share < 1.0 else 0.0
    return {
        "kept linearisations": share * partition.step.samples * sizes.linearised,
        "buffers of products": partition.step.chunk * (sizes.buffers + anew),
    }


def _differentiating(model: MemoryModel, chunk: int) -> float:
    """Bytes held while the energy is differentiated, on at most `GRADIENT_CHUNK` samples."""
    return model.differentiating.at(min(chunk, GRADIENT_CHUNK))


def _vectors(model: MemoryModel, partition: Partition) -> float:
    """Bytes of all vectors of length p."""
    summed = 1.0 + math.ceil(math.log2(max(2, len(partition.step.chunks))))
    return model.parameters * model.itemsize * (_VECTORS + summed)
