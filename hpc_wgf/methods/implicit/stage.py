"""The equation of a stage on the samples of a step, in the force form:

    g(θ) = E[Jᵀ(P⁻¹(x − Y)/τ + f − P⁻¹b)] = 0,    x = T_θ(z), f, P, b at x and the stage's time.

Where P = I and there is no drift, g estimates the gradient of the objective E|x − Y|²/2τ + F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cloud import Cloud
from ...ensemble import Ensemble, unusable
from ...maps import Linearization, MapState
from ...maps.linearization import default_budget
from ...metric import GramOperator
from ...parallel import TreeSum
from ...problems import Flow, Motion
from .curvature import Curvature, DensityCurvature, stiffness_roots

_OF_DEFORMATION = 12  # bytes kept of a deformation, over d and those of J


@dataclass(frozen=True)
class StagePoint:
    """What the equation is made of at one θ."""

    map: MapState
    """The map at θ."""
    clouds: Sequence[Cloud]
    """The images of the samples in every chunk of this rank, with density and score."""
    jacobians: Sequence[Linearization]
    """J at them."""
    motions: Sequence[Motion]
    """P, f and b at them."""
    slope: Tensor
    """g, (p,)."""
    moved: float
    """(E|x − T_k|²)^½."""
    size: float
    """(E|x|²)^½."""
    objective: float | None
    """E|x − Y|²/2τ + F; None with a mobility or a drift, where g is no gradient."""

    @property
    def x(self) -> list[Tensor]:
        """The images, (n_chunk, d) each."""
        return [cloud.x for cloud in self.clouds]


@dataclass(frozen=True)
class StageEquation:
    """The equation of one stage."""

    ensemble: Ensemble
    """The samples of the step, behind the frozen stages of the map."""
    flow: Flow
    """What is implicit of the flow, at the stage's time."""
    start: Sequence[Tensor]
    """T_k at the samples of every chunk of this rank, (n_chunk, d)."""
    target: Sequence[Tensor]
    """Y likewise."""
    tau: float
    """τ."""
    budget: int | None
    """Bytes that linearisations may keep."""

    def at(self, map: MapState) -> StagePoint:
        """The equation at the parameters of `map`. Collective. Errors: `StepFailed` where the map
        folds or a value is not finite."""
        flow, ensemble, active = self.flow, self.ensemble, map.active()
        pushed = ensemble.push(active, density=flow.needs_density, score=flow.energy.needs_density)
        forces = ensemble.forces(flow.energy, pushed, values=flow.is_plain)
        motions = ensemble.motions(flow, pushed, forces)
        linearizer, own, jacobians, failed = active.linearizer(), TreeSum(), [], []
        for k, (cloud, motion) in enumerate(zip(pushed, motions, strict=True)):
            residual = self._residual(k, cloud.x, motion)
            failed.append(unusable(cloud, residual, folded_count=flow.needs_density))
            J = linearizer.linearize(ensemble.chunks[k].x, budget=self.budget)
            jacobians.append(J)
            pulled = J.vjp(ensemble.weighted(k, residual))[0].double()
            own.add(torch.cat([pulled, self._sums(k, cloud.x, motion)]))
        sums, told = ensemble.sum_or_fail([own.total()], failed, pushed, told=3)
        moved, size, objective = (each / ensemble.total for each in told)
        return StagePoint(
            map=map, clouds=pushed, jacobians=jacobians, motions=motions,
            slope=ensemble.averaged(sums)[:-3].to(map.theta), moved=moved**0.5,
            size=size**0.5, objective=objective if flow.is_plain else None,
        )  # fmt: skip

    def _residual(self, k: int, x: Tensor, motion: Motion) -> Tensor:
        residual = (x - self.target[k]) / self.tau + motion.opposite
        return residual if motion.inverse is None else motion.inverse.times(residual)

    def _sums(self, k: int, x: Tensor, motion: Motion) -> Tensor:
        """Σ w|x − T_k|², Σ w|x|² and, where it is known, that of the objective, (3,) in float64."""
        moved = self.ensemble.square(k, x - self.start[k])
        objective = self.ensemble.square(k, x - self.target[k]) / (2.0 * self.tau)
        if motion.force.value is not None:
            objective = objective + self.ensemble.weighted(k, motion.force.value.double()).sum()
        return torch.stack([moved, self.ensemble.square(k, x), objective])

    def gram(self, point: StagePoint) -> GramOperator:
        """E[JᵀJ]."""
        return GramOperator(point.jacobians, self.ensemble)

    def curvature(self, point: StagePoint) -> Curvature:
        """H. Collective where there are interactions."""
        roots = stiffness_roots(
            self.flow, point.clouds, point.motions, self.tau, self.ensemble.communicator
        )
        energy, map = self.flow.energy, point.map
        density = [
            DensityCurvature.at(map.map, map.theta, chunk, image, energy, keep=keep)
            for chunk, image, keep in zip(
                self.ensemble.chunks, point.clouds, self._kept(point), strict=True
            )
        ] if energy.needs_density else []  # fmt: skip
        return Curvature(GramOperator(point.jacobians, self.ensemble, roots), density)

    def _kept(self, point: StagePoint) -> list[bool]:
        """Of which chunks the deformation is kept: those of the first that fit the budget."""
        budget = default_budget(point.map.theta) if self.budget is None else self.budget
        used, kept = 0, []
        for J in point.jacobians:
            need = _OF_DEFORMATION * self.ensemble.chunks[0].x.shape[1] * J.nbytes
            kept.append(0 < need <= budget - used)
            used += need if kept[-1] else 0
        return kept
