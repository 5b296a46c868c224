"""A stored run as an object: its figures, its maps, new samples, pictures and distances."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import MapAt, Samples, Trajectory
from ..config import RunSpec
from ..errors import InputError
from ..parallel import LocalCommunicator
from ..pictures import Subject
from ..problems import Problem
from ..pushed import Points, StoredDensity
from ..report import Summary
from ..store import StoredRun
from ..store import open_run as opened
from .arviz_data import inference_data
from .distances import SAMPLES, Distance, map_distance, sliced_w2
from .html import run_card
from .plots import Plots


def open_run(path: Path | str, spec: RunSpec | None = None, *, trust: bool = False) -> Run:
    """Open the store at `path` for reading.

    `spec`: problem, first map and method, for the maps of a run that was not begun from a run file.
    `trust`: without `spec`, import and call the functions and modules that the store names, once
    its maps are asked for.

    Errors: `InputError` where there is none, one that is damaged, or one of a schema that this
    version cannot read.
    """
    stored = opened(path)
    values = {field.name: getattr(stored, field.name) for field in fields(StoredRun)}
    return Run(**values, spec=spec, trust=trust)


@dataclass(frozen=True, repr=False)
class Run(StoredRun):
    """A run that has been stored, as it stood when opened.

    Times are those of the problem; where one is left out, the last stored one is meant. Maps are
    built when they are first asked for. Errors of all that asks for them: `InputError` for a store
    that does not say what was solved, names code of a user without `trust`, or has no row, and
    for times outside of the run.
    """

    spec: RunSpec | None = None
    """Problem, first map and method, where they were given."""
    trust: bool = False
    """Whether code of users that the store names may be called."""

    def __repr__(self) -> str:
        times = self.column("time")
        span = f"t = {times[0]:g} … {times[-1]:g}, " if len(times) else ""
        return (
            f"<run of {self.attributes['problem']}, d = {self.attributes['dimension']}: {span}"
            f"{self.rows} rows, {self.steps} steps, {self.path}>"
        )

    def _repr_html_(self) -> str:
        return run_card(self.subject if self.rows else None, self)

    @cached_property
    def summary(self) -> Summary:
        """Its figures."""
        return Summary.of_store(self)

    @cached_property
    def trajectory(self) -> Trajectory:
        """Its maps at stored times, and the judge's figures anew."""
        return Trajectory.of_run(
            self, self.spec, trust=self.trust,
            objects="give them in Python as open_run(path, RunSpec(problem, map, method))",
            allowed="say open_run(path, trust=True), on the command line --trust",
        )  # fmt: skip

    @property
    def problem(self) -> Problem:
        """What was solved."""
        return self.trajectory.spec.problem

    @cached_property
    def subject(self) -> Subject:
        """What pictures show of it; where its maps cannot be built, particles and figures alone."""
        try:
            return Subject(self, self.trajectory)
        except InputError as error:
            return Subject(self, None, str(error))

    @property
    def plot(self) -> Plots:
        """Pictures."""
        return Plots(self.subject)

    def _time(self, time: float | None) -> float:
        return self.trajectory.times[-1] if time is None else time

    def map_at(self, time: float | None = None) -> MapAt:
        """T(t) as a function of points, between stored times by Hermite interpolation of θ."""
        return self.trajectory.map_at(self._time(time))

    def density_at(self, time: float | None = None) -> StoredDensity:
        """ρ(t) as the start density of another problem: `Problem(energy, run.density_at(t), …)`.

        Errors: `InputError` also where the map has folded."""
        return StoredDensity(self.trajectory, time)

    def push(self, z: Points, time: float | None = None) -> Points:
        """T(z), (n, d)."""
        return self.map_at(time).push(z)

    def inverse(self, x: Points, time: float | None = None) -> Points:
        """z with T(z) = x, (n, d). Errors: `InputError` also where none was found."""
        return self.map_at(time).inverse(x)

    def log_density(self, x: Points, time: float | None = None) -> Points:
        """log ρ(x, t), (n,). Errors: as for `inverse`."""
        return self.map_at(time).log_density(x)

    def score(self, x: Points, time: float | None = None) -> Points:
        """∇ log ρ(x, t), (n, d). Errors: as for `inverse`, and outside of the support."""
        return self.map_at(time).score(x)

    def sample(self, count: int, time: float | None = None, *, seed: int = 0) -> Samples:
        """`count` new samples of ρ(t) with log ρ, ∇ log ρ and the start samples whose images they
        are: independent of all samples of the run, and the same for the same seed."""
        time, path = self._time(time), self.trajectory
        drawn = path.drawn(count, path.at(time).map, LocalCommunicator(), seed=seed)
        return Samples.of(drawn, time, seed)

    def map_distance(
        self, other: Run, time: float | None = None, *, samples: int = SAMPLES, seed: int = 0
    ) -> Distance:
        """(E|T_a(z) − T_b(z)|²)^½ over the same start samples z: at least W₂ of the two densities,
        and W₂ itself on the line. `time`: by default the last that both runs reach.

        Errors: `InputError` also for another start density."""
        time = self._common(other, time)
        return map_distance(self.trajectory, other.trajectory, time, samples, seed)

    def w2(
        self, other: Run, time: float | None = None, *, samples: int = SAMPLES, seed: int = 0
    ) -> Distance:
        """Sliced W₂ of the two densities from new samples of each, by POT: at most W₂. On the line
        W₂ itself, without POT.

        Errors: `InputError` also where POT is needed and not installed."""
        time = self._common(other, time)
        clouds = [run.sample(samples, time, seed=seed).x for run in (self, other)]
        return sliced_w2(clouds[0], clouds[1], seed)

    def _common(self, other: Run, time: float | None) -> float:
        if not isinstance(other, Run):
            raise InputError("a distance is that to another run: give open_run(path)")
        if time is not None:
            return time
        return min(run.trajectory.times[-1] for run in (self, other))

    def to_arviz(self, time: float | None = None) -> Any:
        """The stored particles for arviz: one chain, whose draws they are; their log ρ and the
        logarithms of their weights are sample statistics.

        Errors: `InputError` where arviz is not installed, and for a time without particles."""
        times = self.particle_times
        row = len(times) - 1
        if time is not None:
            row = int(np.argmin(np.abs(times - time)))
            if abs(times[row] - time) > 1e-9 * max(1.0, abs(time)):
                raise InputError(
                    f"{self.path} has no particles at t = {time:g}: the nearest are those at "
                    f"t = {times[row]:g}"
                )
        return inference_data(
            self.particles(row), self.read("log_density", row), self.log_weight(),
            {"problem": self.attributes["problem"], "time": float(times[row])},
        )  # fmt: skip
