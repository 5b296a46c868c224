"""min over θ of E|T_θ(z) − x|² for given x: Gauss–Newton steps, damped as by Levenberg–Marquardt.

With r = x − T_θ(z) and J = ∂_θT(z), a step minimises E|J η − r|² + σ|η|². It is taken where it
lowers E|r|²; σ goes up tenfold where it does not, and where the linear model has promised far more
than was gained, and comes down tenfold where the model was right, a thousandfold where it was
exact.

Source: K. Madsen, H. B. Nielsen, O. Tingleff, Methods for Non-Linear Least Squares Problems, 2nd
ed. (2004), Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..choices import Preconditioning
from ..ensemble import Ensemble
from ..krylov import lsmr
from ..maps import PushForward
from ..metric import JacobianRows, build_for, default_preconditioner
from ..metric.preconditioner import GramModel
from ..parallel import tree_sum

_DAMPING = 1e-3  # σ/‖Ĝ‖ of the first step, and
_RANGE = (1e-18, 1e6)  # of all: below it is rounding, above it a step is of no length.
_EXACT, _RIGHT, _WRONG = 0.99, 0.75, 0.25  # gained over promised
_RTOL, _PRODUCTS = 1e-4, 400  # of a step; a step that is less exact still goes down.
_PATIENCE, _GAIN = 5, 0.05  # Ends where so many steps together lower the misfit by no more.
_ROUNDING = 4.0  # units of the machine epsilon that a misfit over the positions' size may have
_POWER_ITERATIONS = 6


@dataclass(frozen=True)
class Target:
    """Samples and where they are to go."""

    ensemble: Ensemble
    """z."""
    images: Sequence[Tensor]
    """x of every chunk of this rank, (n_chunk, d)."""

    def size(self) -> float:
        """(E|x|²)^½; collective."""
        return _root_mean_square(self.ensemble, self.images)


class Fitted(NamedTuple):
    """How a fit has ended; the map is at its θ."""

    misfit: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class _Residual:
    """r = x − T_θ(z)."""

    rows: Tensor
    """r/√n, (n_local, d)."""
    misfit: float
    """(E|r|²)^½; not a number where an image is not."""


def fit(map: PushForward, target: Target, max_iterations: int) -> Fitted:
    """Move the parameters of `map` to where E|T_θ(z) − x|² is least, near those that it has;
    collective. What is decided is decided on sums over all ranks."""
    floor = _ROUNDING * torch.finfo(map.get_theta().dtype).eps * target.size()
    residual, damping = _residual(map, target), _Damping()
    misfits = [residual.misfit]
    while True:
        iterations = len(misfits) - 1
        if misfits[-1] <= floor or _settled(misfits):
            return Fitted(misfits[-1], iterations, True)
        if iterations == max_iterations:
            return Fitted(misfits[-1], iterations, False)
        lower = _step(map, target, residual, damping)
        if lower is None:  # rounding, or a minimum
            return Fitted(misfits[-1], iterations, True)
        residual = lower
        misfits.append(residual.misfit)


def _settled(misfits: Sequence[float]) -> bool:
    if len(misfits) <= _PATIENCE:
        return False
    return misfits[-1] > (1 - _GAIN) * misfits[-1 - _PATIENCE]


@dataclass
class _Damping:
    """σ/‖Ĝ‖, which goes from step to step."""

    value: float = _DAMPING

    def update(self, gained: float, promised: float) -> None:
        """After a step that was taken."""
        if gained < _WRONG * promised:
            self.value *= 10
        elif gained > _RIGHT * promised:
            self.value /= 1000 if gained > _EXACT * promised else 10
            self.value = max(_RANGE[0], self.value)


def _step(
    map: PushForward, target: Target, residual: _Residual, damping: _Damping
) -> _Residual | None:
    """Take one step from the map's parameters. None, and the parameters as they were, where no
    damping lowers the misfit; collective."""
    theta, before = map.get_theta(), residual.misfit**2
    linearizer = map.linearizer()
    chunks = [linearizer.linearize(z) for z in target.ensemble.points]
    rows = JacobianRows(chunks, target.ensemble)
    model = _gram_model(map, target.ensemble)
    norm = _norm(rows, residual.rows) if model is None else model.norm
    while damping.value <= _RANGE[1]:
        shift = damping.value * norm
        eta, _ = lsmr(
            rows, residual.rows, rtol=_RTOL, max_steps=_PRODUCTS, shift=shift,
            preconditioner=None if model is None else model.shifted(shift, theta.dtype),
        )  # fmt: skip
        left = float(rows.norm(rows.matvec(eta).neg_().add_(residual.rows))) ** 2
        trial = _residual(map.at(theta + eta), target)
        if trial.misfit < residual.misfit:
            damping.update(before - trial.misfit**2, before - left)
            return trial
        damping.value *= 10
    map.set_theta(theta)
    return None


def _gram_model(map: PushForward, ensemble: Ensemble) -> GramModel | None:
    """What is known of Ĝ from a subsample, where that pays; collective."""
    kind = default_preconditioner(map)
    if kind is Preconditioning.NONE:
        return None
    return build_for(map, ensemble, kind, _DAMPING).model


def _norm(rows: JacobianRows, residual: Tensor) -> float:
    """‖Ĝ‖ by power iterations from Jᵀr, to a few per cent; collective."""
    v = rows.rmatvec(residual)
    for _ in range(_POWER_ITERATIONS):
        v = rows.rmatvec(rows.matvec(v / v.norm()))
    return float(v.norm())


def _residual(map: PushForward, target: Target) -> _Residual:
    ensemble = target.ensemble
    pushed = ensemble.push(map, density=False, score=False)
    parts = [image - cloud.x for image, cloud in zip(target.images, pushed, strict=True)]
    rooted = [ensemble.rooted(k, part) for k, part in enumerate(parts)]
    rows = torch.cat(rooted).div_(ensemble.total**0.5)
    return _Residual(rows, _root_mean_square(ensemble, parts))


def _root_mean_square(ensemble: Ensemble, values: Sequence[Tensor]) -> float:
    """(E|a|²)^½ of vectors a of every chunk of this rank; collective."""
    parts = [ensemble.square(k, each) for k, each in enumerate(values)]
    return float(ensemble.mean(tree_sum(parts)[None])) ** 0.5
