"""The samples on which steps are computed, behind the frozen stages of a map."""

from __future__ import annotations

import time as clock
from typing import Protocol

from ..choices import Redraw
from ..ensemble import Ensemble
from ..maps import MapState, Stage
from ..parallel import RandomStream, SampleBlocks
from .base import SampleOptions, Setting


class StepSampleOptions(SampleOptions, Protocol):
    """Which samples steps are computed on, beside what `SampleOptions` says."""

    @property
    def redraw(self) -> Redraw:
        """When they are drawn anew."""
        ...


class StepSamples:
    """Draws the samples of steps, anew for every step or for every stage, or once for a run.

    They are a function of the step, or of the stage, and of the map's frozen stages; those of the
    present stage are kept where they serve all its steps."""

    def __init__(
        self, setting: Setting, options: StepSampleOptions, *, held_out: int | None = None,
        score: bool = True,
    ) -> None:  # fmt: skip
        """`held_out`: how many samples the second set of a step has; None for no such set.
        `score`: whether stages carry the score too, for energies that depend on the density."""
        self._setting, self._redraw = setting, options.redraw
        self._score = score and setting.problem.energy.needs_density
        self.blocks = SampleBlocks.automatic(options.samples, options.block)
        """Those of a step."""
        self._validation = None
        if held_out is not None:
            self._validation = SampleBlocks.automatic(held_out, options.block)
        self._known: dict[RandomStream, tuple[tuple[Stage, ...], Ensemble]] = {}
        self._seconds = 0.0

    def of_step(self, map: MapState, step: int) -> Ensemble:
        """The samples of a step."""
        return self._drawn(map, self.blocks, RandomStream.STEP, step)

    def held_out(self, map: MapState, step: int) -> Ensemble | None:
        """A second sample, at which a step is judged; None where there is none."""
        if self._validation is None:
            return None
        return self._drawn(map, self._validation, RandomStream.VALIDATION, step)

    def take_seconds(self) -> float:
        """Seconds that drawing and carrying took since this was asked last."""
        taken, self._seconds = self._seconds, 0.0
        return taken

    def _drawn(
        self, map: MapState, blocks: SampleBlocks, stream: RandomStream, step: int
    ) -> Ensemble:
        known = self._known.get(stream)
        if known is not None and known[0] == map.stages:
            return known[1]
        begun, sampler = clock.monotonic(), self._setting.sampler
        if self._redraw is not Redraw.STEP:
            step = len(map.stages) if self._redraw is Redraw.STAGE else 0
        parts = sampler.parts(blocks, map.map.chunk_size())
        carried = 0 if known is None else len(known[0])
        if self._redraw is Redraw.RUN and known is not None and known[0] == map.stages[:carried]:
            drawn = known[1].carried(map.stages[carried:], score=self._score)
        else:
            drawn = sampler.draw(blocks, parts, stream, step, place=self._place(stream, step))
            drawn = drawn.carried(map.stages, score=self._score)
        if self._redraw is Redraw.STEP:
            place = self._place(stream, step + 1)
            sampler.draw_ahead(blocks, parts, stream, step + 1, place=place)
        else:
            self._known[stream] = map.stages, drawn
        self._seconds += clock.monotonic() - begun
        return drawn

    def _place(self, stream: RandomStream, step: int) -> int:
        """Where the samples begin in the order of samples that have one: those of a step, then the
        second sample, then those of the next."""
        second = 0 if self._validation is None else self._validation.total
        begin = step * (self.blocks.total + second)
        return begin if stream is RandomStream.STEP else begin + self.blocks.total
