"""Memory of one rank: what is held in each part of a step, and which of them takes most.

Of tensors and the process; what the C library keeps of freed memory, up to a tenth on a CPU, is not
in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..maps import budget_on
from ..methods import Form
from ..methods.system import GRADIENT_CHUNK
from .anatomy import Anatomy
from .cut import Cut, Job
from .devices import Device

# θ-vectors: nine of MINRES, nine of states, slopes and the map, four of a linearizer's copies and
# four that hold integers; beside them the sums of a product, log₂ of the leaves.
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


def kept_share(anatomy: Anatomy, cut: Cut, limit: int) -> float:
    """Of a step's samples those whose linearisation fits into `limit` bytes; the others' is
    computed anew in every product."""
    kept = 0.0
    for leaf in cut.step.leaves:
        nbytes = leaf * anatomy.sizes.linearised
        kept += nbytes if kept + nbytes <= limit else 0.0
    return kept / max(1.0, cut.step.samples * anatomy.sizes.linearised)


def peak(anatomy: Anatomy, cut: Cut, device: Device, limit: int, made: float) -> Phase:
    """The phase of a step that takes most memory."""
    return max(phases(anatomy, cut, device, limit, made), key=lambda phase: phase.total)


def phases(anatomy: Anatomy, cut: Cut, device: Device, limit: int, made: float) -> list[Phase]:
    """Bytes held at once by a rank while the next slope is computed (its samples and those of the
    step before it are there), and while a row is measured. `limit`: of kept linearisations, bytes.
    `made`: preconditioners in a step; they and the one before it are held until it ends."""
    sizes, m, seen = anatomy.sizes, cut.step.samples, cut.evaluation.samples
    always = {
        "base": float(device.base),
        "evaluation sample": seen * (sizes.reference + sizes.seen),
        "parameter vectors": _vectors(anatomy, cut),
    }
    step = {**always, **_of_two_steps(anatomy, cut, made)}
    images, kept = {"images and scores": m * sizes.pushed}, _kept(anatomy, cut, limit)
    forces = {"forces": m * (sizes.forces + sizes.force), **kept}
    if anatomy.form is Form.ENERGY:
        forces["gradient of the energy"] = _differentiating(anatomy, cut.step.leaf)
    system = {"images and forces": m * sizes.system, **kept}
    making = 0.0 if anatomy.prepared is None else anatomy.prepared.passing
    shown = {"images being measured": seen * (sizes.pushed + sizes.seen_forces + sizes.seen)}
    row = {"images of a row": seen * sizes.seen}

    def pushing(leaf: int) -> dict[str, float]:
        return {"a leaf being pushed": anatomy.pushing.at(leaf)}

    rate = {"gradient of the energy": _differentiating(anatomy, cut.evaluation.leaf)}
    return [
        Phase("check of the start", {**always, "check of the virial": anatomy.virial}),
        Phase("pushing samples", {**step, **images, **pushing(cut.step.leaf)}),
        Phase("assembly", {**step, **images, **forces}),
        Phase("making a preconditioner", {**step, **system, "its making": making}),
        Phase("measurement", {**step, **shown, **pushing(cut.evaluation.leaf)}),
        Phase("rate of a row", {**step, **row, **rate}),
    ]


def _of_two_steps(anatomy: Anatomy, cut: Cut, made: float) -> dict[str, float]:
    sizes = anatomy.sizes
    held = {"samples of two steps": 2.0 * cut.step.samples * sizes.reference}
    if cut.held_out is not None:
        a_sample = 2.0 * sizes.reference + sizes.system + sizes.linearised
        held["held-out samples"] = cut.held_out.samples * a_sample
    if anatomy.prepared is not None:
        held["preconditioners"] = (1.0 + math.ceil(made)) * anatomy.prepared.kept
    return held


def _kept(anatomy: Anatomy, cut: Cut, limit: int) -> dict[str, float]:
    sizes, share = anatomy.sizes, kept_share(anatomy, cut, limit)
    anew = sizes.linearised if share < 1.0 else 0.0
    return {
        "kept linearisations": share * cut.step.samples * sizes.linearised,
        "buffers of products": cut.step.leaf * (sizes.buffers + anew),
    }


def _differentiating(anatomy: Anatomy, leaf: int) -> float:
    return anatomy.differentiating.at(min(leaf, GRADIENT_CHUNK))


def _vectors(anatomy: Anatomy, cut: Cut) -> float:
    summed = 1.0 + math.ceil(math.log2(max(2, len(cut.step.leaves))))
    return anatomy.parameters * anatomy.itemsize * (_VECTORS + summed)
