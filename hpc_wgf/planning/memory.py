"""Memory of one rank: what is held in each part of a step, and which of them takes most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..maps import budget_on
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
    samples = {"samples of two steps": 2.0 * m * sizes.reference}
    if cut.held_out is not None:
        samples["held-out samples"] = cut.held_out.samples * (
            2.0 * sizes.reference + sizes.system + sizes.linearised
        )
    prepared = anatomy.prepared
    if prepared is not None:
        samples["preconditioners"] = (1.0 + math.ceil(made)) * prepared.kept
    share = kept_share(anatomy, cut, limit)
    kept = {
        "kept linearisations": share * m * sizes.linearised,
        "buffers of products": cut.step.leaf
        * (sizes.buffers + (sizes.linearised if share < 1 else 0.0)),
    }
    images = {"images and scores": m * sizes.pushed}
    forces = m * (sizes.forces + sizes.force)
    leaf = {"a leaf being pushed": anatomy.passing.at(cut.step.leaf)}
    solving = {"images and forces": m * sizes.system, **kept}
    passing = 0.0 if prepared is None else prepared.passing
    shown = {
        "images being measured": seen * (sizes.pushed + sizes.seen_forces + sizes.seen),
        "a leaf being pushed": anatomy.passing.at(cut.evaluation.leaf),
    }
    return [
        Phase("check of the start", {**always, "check of the virial": anatomy.virial}),
        Phase("pushing samples", {**always, **samples, **images, **leaf}),
        Phase("assembly", {**always, **samples, **images, "forces": forces, **kept}),
        Phase("making a preconditioner", {**always, **samples, **solving, "its making": passing}),
        Phase("measurement", {**always, **samples, **shown}),
    ]


def _vectors(anatomy: Anatomy, cut: Cut) -> float:
    summed = 1.0 + math.ceil(math.log2(max(2, len(cut.step.leaves))))
    return anatomy.parameters * anatomy.itemsize * (_VECTORS + summed)
