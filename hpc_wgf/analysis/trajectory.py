"""A stored run as a path of maps t ↦ T(t)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from ..cloud import Cloud, joined
from ..config import RunSpec, build, parse_stored
from ..diagnostics import Judge
from ..ensemble import Sampler
from ..errors import InputError
from ..kinds import check_whole
from ..maps import MapState
from ..methods.base import Setting
from ..parallel import Communicator, LocalCommunicator, RandomStream, SampleBlocks
from ..problems import is_known
from ..pushed import StoredPath, check_start
from ..run.layout import Layout
from ..store import StoredRun, open_run
from .divergence_to_exact import PATHS, ExactDivergence, exact_divergence

SAMPLES = 500
"""Samples from which a divergence is estimated, by default."""


class Trajectory(StoredPath):
    """The maps of a stored run at its stored times.

    All of it is computed on this process, from the store and the objects with which the run began.
    """

    def __init__(self, run: StoredRun, spec: RunSpec) -> None:
        """`spec`: problem, first map and method of the run, as `load_problem` gives them."""
        super().__init__(run, *spec)
        self.spec = spec

    @classmethod
    def of(cls, path: Path | str, spec: RunSpec | None = None, *, trust: bool = False) -> Self:
        """Of the store at `path`. `spec` is needed for a run that was not begun from a run file.
        `trust`: without `spec`, import and call the functions and modules that the store names.

        Errors: `InputError` where there is no such store, where it has no row or an older schema,
        where it does not say what was solved, and where it names code of a user without `trust`."""
        return cls.of_run(open_run(path), spec, trust=trust)

    @classmethod
    def of_run(
        cls, run: StoredRun, spec: RunSpec | None = None, *, trust: bool = False,
        objects: str = "give them as Trajectory.of(path, RunSpec(problem, map, method))",
        allowed: str = "say Trajectory.of(path, trust=True)",
    ) -> Self:  # fmt: skip
        """Of an open store. `objects`, `allowed`: how its user gives the objects and that trust, as
        messages say it. Errors: as for `of`."""
        run.check_resumable()
        if spec is None:
            tables = run.configuration(objects)
            instead = f"{objects}, or {allowed}"
            run_file = parse_stored(tables, trust=trust, store=run.path, instead=instead)
            spec = build(run_file, trust=trust)
        check_start(run, spec.problem)
        return cls(run, spec)

    @cached_property
    def setting(self) -> Setting:
        """Problem, map and evaluation sample as the run had them."""
        layout = Layout.stored(self.run.attributes)
        problem, map, options = self.spec
        return Setting.of(
            problem, map, options, LocalCommunicator(),
            particles=layout.particles, pieces=layout.pieces,
        )  # fmt: skip

    @cached_property
    def judge(self) -> Judge:
        """The judge of the run."""
        return Judge(self.spec.problem, self.setting.evaluation)

    def sample(self, count: int, time: float, *, seed: int = 0) -> Cloud:
        """`count` new samples of ρ(t) at a stored time, with log ρ and ∇ log ρ: independent of all
        samples of the run, and the same for the same seed.

        Of a start that is known by samples, images of these: each at most once, and for seed 0
        those first that no step has seen. Log ρ and ∇ log ρ are then not a number, unless the
        density is given or fitted."""
        drawn = self.drawn(count, self.map(time), LocalCommunicator(), seed=seed)
        return joined([image for _, image in drawn])

    def drawn(
        self, count: int, map: MapState, communicator: Communicator, *, seed: int
    ) -> Iterator[tuple[Cloud, Cloud]]:
        """Chunk by chunk new samples of the start density, `count` on all ranks together, and
        their images under a map of this run: those of this rank, in the order of their numbers.
        The same samples, to the bit on 1, 2, 4, … ranks."""
        check_whole(count, "the number of samples")
        check_whole(seed, "the seed")
        if count < 1 or seed < 0:
            raise InputError(
                f"expected at least one sample and a seed of at least 0, got {count} and {seed}"
            )
        options, blocks = self.spec.method, SampleBlocks.automatic(count)
        sampler = Sampler(
            self.spec.problem.start, communicator, seed=options.seed, dtype=options.torch_dtype,
            stream=options.stream,
        )  # fmt: skip
        map, least = map.on(communicator.device), map.map.chunk_size()
        for part in sampler.chunks(blocks, least, communicator.rank):
            # Drawn one by one: all together may be more than memory holds.
            parts = [[part]] * communicator.size
            (chunk,) = sampler.draw(blocks, parts, RandomStream.ANALYSIS, seed).chunks
            image = map.carry(chunk)
            if not is_known(self.spec.problem.start):
                chunk, image = _without_density(chunk), _without_density(image)
            yield chunk, image

    def exact_divergence(
        self, time: float, *, samples: int = SAMPLES, paths: int = PATHS, seed: int = 0
    ) -> ExactDivergence:
        """KL(ρ_θ‖ρ) at a stored time, ρ the exact density of the flow: see the function of that
        name. `samples`: how many of ρ_θ, at least 2. Errors: `InputError`, as there."""
        check_whole(samples, "samples")
        if samples < 2:
            raise InputError(f"samples must be at least 2, got {samples}")
        time = self.times[self.row(time)]
        cloud = self.sample(samples, time, seed=seed)
        return exact_divergence(self.spec.problem, cloud, time, paths=paths, seed=seed)

    def figures(self, time: float) -> dict[str, float]:
        """The judge's figures at a stored time, computed anew from the stored parameters."""
        row, map = self.row(time), self.map(time)
        stored = self.run.velocity(row)
        velocity = None if stored is None else map.theta.new_tensor(stored)
        look = self.judge.look(map, velocity, time=self.times[row])
        return self.judge.figures(self.times[row], map, velocity, look)


def _without_density(cloud: Cloud) -> Cloud:
    unknown = torch.full_like(cloud.x, math.nan)
    return replace(cloud, log_density=unknown[:, 0], score=unknown)
