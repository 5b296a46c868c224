"""The density of a stored run at a time, as the start of another run."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..maps import PushForward
from ..problems import Density, Problem, as_carried, is_known, origin_of
from ..problems.densities import Moments
from ..store import StoredRun
from .stored_path import StoredPath


class StoredDensity:
    """ρ(t) = T(t)#λ of a stored run: the images x = T(z) of samples z of its start density λ, with

        log ρ(x) = log λ(z) − log|det ∇T(z)|

    and the score, as `PushForward.transport` has it. All is computed in float64. Samples are drawn
    from λ, in the order and by the sampling that λ has, and carried by T; at points that are given,
    T is inverted. Where samples alone tell λ, log ρ and the score are not known, and 0.
    """

    def __init__(self, path: StoredPath, time: float | None = None) -> None:
        """`path`: the stored run. `time`: t, any time of it; by default the last stored one.

        Errors: `InputError` for a time outside of the run, one at which its map has folded, and for
        a run whose coordinates go round circles."""
        time = path.times[-1] if time is None else time
        map = path.map_at(time)
        if path.problem.periods is not None:
            raise InputError(
                f"the coordinates of {path.run.path} go round circles: its density is no start of "
                "another run; begin from a problem on ℝᵈ"
            )
        if map.folded:
            raise InputError(
                f"the map of {path.run.path} has folded at {map.folded} of its samples at "
                f"t = {time:g}, where its density is not known: begin from an earlier time"
            )
        self.dimension = path.problem.dimension
        self.time = time
        """t."""
        self.origin: Density = origin_of(path.problem.start)
        """The density from which samples are drawn: λ, or where λ is that of a stored run itself
        the one at the begin of this chain."""
        self._path, self._map = path, map
        self._maps = {torch.device("cpu"): map.whole}
        self.digest = _digest(path, time)
        """Of all from which it is computed: by it a run that is resumed knows it again."""

    def __repr__(self) -> str:
        name = self._path.problem.name
        return f"StoredDensity({name} at t = {self.time!r} with digest {self.digest})"

    @property
    def density_is_known(self) -> bool:
        """Whether log ρ and ∇ log ρ are known."""
        return is_known(self._path.problem.start)

    @torch.no_grad()
    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        """Images of samples of λ."""
        return self._map.push(self._path.problem.start.sample(random, count))

    @torch.no_grad()
    def carry(self, cloud: Cloud) -> Cloud:
        """The images of samples of `origin`, (n, d) in float64, with density and score."""
        before = as_carried(self._path.problem.start)
        if before is not None:
            cloud = before.carry(cloud)
        known = self.density_is_known
        image = self._on(cloud.x.device).transport(cloud.x, cloud.score if known else None)
        log_density = cloud.log_density - image.log_det if known else cloud.log_density
        score = cloud.score if image.score is None else image.score
        return Cloud(image.x, log_density, score, image.positive & cloud.unfolded)

    def _on(self, device: torch.device) -> PushForward:
        """T on a device."""
        if device not in self._maps:
            self._maps[device] = copy.deepcopy(self._map.whole).to(device)
        return self._maps[device]

    def log_density(self, x: Tensor) -> Tensor:
        """log ρ(x); not-a-number where no preimage was found."""
        if not self.density_is_known:
            return torch.zeros_like(x[:, 0])
        return self._map.log_density_or_nan(x).to(x)

    def score(self, x: Tensor) -> Tensor:
        """∇ log ρ(x); not-a-number where no preimage was found, and outside of the support."""
        if not self.density_is_known:
            return torch.zeros_like(x)
        return self._map.score_or_nan(x).to(x)

    def moments(self) -> Moments | None:
        """None: they are taken from samples."""
        return None

    def jump(self) -> str | None:
        """That of λ, which T carries."""
        jump = getattr(self._path.problem.start, "jump", None)
        return None if jump is None else jump()

    def learned(self) -> Sequence[Tensor]:
        """Nothing: what it is computed from is in its digest."""
        return ()

    def notes(self) -> list[str]:
        """What is to be known of it before a run: how wrong it is itself."""
        row = self._path.rows(self.time)[-1]
        said = f"the start density is that of {self._path.run.path} at t = {self.time:g}"
        estimate = float(self._path.run.column("error_estimate")[row])
        if np.isfinite(estimate):
            said += f", whose map is off by about {estimate:.2g} in units of x"
        between = self._map.interpolation_error
        if between:
            said += f", and between stored rows by up to {between:.1g} more"
        return [f"{said}: errors of this run are told without what it begins with"]


def _digest(path: StoredPath, time: float) -> str:
    """Of the rows from which T(t) is made, bit by bit, and of what they were computed for."""
    run, found = path.run, hashlib.sha256()
    for words in (repr(time), repr(path.problem.start), run.attributes["objects"].get("map")):
        found.update(f"{words}\n".encode())
    state = path.at(time).map
    for stage in state.stages:
        found.update(stage.map.get_theta().cpu().numpy().tobytes())
    for row in path.rows(time):
        found.update(run.theta(row).tobytes())
        if (velocity := run.velocity(row)) is not None:
            found.update(velocity.tobytes())
    return found.hexdigest()[:16]


def check_start(run: StoredRun, problem: Problem) -> None:
    """Errors: `InputError` where `run` began from another store, and that now has another density
    than it had then."""
    kept, found = run.attributes["objects"].get("start density"), repr(problem.start)
    if as_carried(problem.start) is not None and kept not in (None, found):
        raise InputError(
            f"{run.path} began with {kept}, and its start is {found} now: the store that it began "
            "from has changed; put that back"
        )
