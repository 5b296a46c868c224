"""One JKO step as a game of the map against h [VWGF Algorithm 1]:

min_θ sup_h E[|x − Y|²/2τ + V(x) + 𝒜(h)(x)] − E_Γ[ℬ(h)],    x = T_θ(z).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ...ensemble import Ensemble
from ...errors import StepFailed
from ...interactions import InteractionEnergy
from ...maps import MapState, PushForward
from ...parallel import tree_sum
from ...problems import SumOfEnergies
from ...problems.energies import LocalEnergy
from .dual import Dual, PowerDual
from .network import LogRatio


@dataclass(frozen=True)
class Game:
    """The two players, and what they play for."""

    begun: MapState
    """The map where the step begins; T_k is its active map at its θ."""
    step_size: float
    """τ."""
    dual: Dual
    """𝒜, ℬ and Γ."""
    position: Sequence[LocalEnergy]
    """The parts of V at the end of the step."""
    interactions: Sequence[InteractionEnergy]
    """Those where it begins, which are taken forward."""
    map: PushForward
    """T_θ, a copy whose parameters move."""
    network: LogRatio
    """u = log h, of the coordinates of Γ; a copy likewise."""

    def log_ratio(self, x: Tensor) -> Tensor:
        """u at x, (n, d) → (n,)."""
        u: Tensor = self.network(self.dual.reference.coordinates(x))
        return u

    @torch.no_grad()
    def targets(self, ensemble: Ensemble) -> list[Tensor]:
        """Y in every chunk: T_k, moved along the forces of interactions for a time τ. Collective
        where there are any."""
        pushed = ensemble.push(self.begun.active(), density=False, score=False)
        if not self.interactions:
            return [cloud.x for cloud in pushed]
        forces = ensemble.forces(SumOfEnergies(self.interactions), pushed)
        return [
            cloud.x - self.step_size * force.total
            for cloud, force in zip(pushed, forces, strict=True)
        ]

    @torch.no_grad()
    def images(self, ensemble: Ensemble) -> list[Tensor]:
        """T_θ in every chunk."""
        return [self.map(chunk.x) for chunk in ensemble.chunks]

    def of_dual(
        self, ensemble: Ensemble, x: Sequence[Tensor], references: Sequence[Tensor]
    ) -> list[Callable[[], Tensor]]:
        """−(E[𝒜] − E_Γ[ℬ]) in parts, for fixed images x."""

        def part(k: int) -> Tensor:
            u = self.log_ratio(torch.cat([x[k], references[k]]))
            here, there = u.split([len(x[k]), len(references[k])])
            gained = ensemble.weighted(k, self.dual.at_samples(here, x[k])).sum()
            return (self.dual.at_reference(there).sum() - gained) / ensemble.total

        return [partial(part, k) for k in range(len(x))]

    def of_map(self, ensemble: Ensemble, targets: Sequence[Tensor]) -> list[Callable[[], Tensor]]:
        """E[|x − Y|²/2τ + V(x) + 𝒜(x)] in parts."""

        def part(k: int) -> Tensor:
            z = ensemble.chunks[k].x
            x = self.map(z)
            value = (x - targets[k]).square().sum(1) / (2 * self.step_size)
            for each in self.position:
                value = value + each.integrand(x, x[:, 0])
            value = value + self.dual.at_samples(self.log_ratio(x), x)
            return ensemble.weighted(k, value).sum() / ensemble.total

        return [partial(part, k) for k in range(len(targets))]

    @torch.no_grad()
    def gap(
        self, energy: SumOfEnergies, ensemble: Ensemble, references: Sequence[Tensor]
    ) -> tuple[float, float]:
        """F − (E[𝒜] − E_Γ[ℬ]) ≥ 0 of the parts of the energy that depend on the density, at samples
        that have not been trained on, and its standard error. They mean nothing where the density
        of the samples, or that of a target, is known by samples alone. Collective, one all-reduce.

        Errors: `StepFailed` where samples have left the box of Γ."""
        pushed = ensemble.push(self.map, density=True, score=False)
        own, lost = [], []
        for k, (cloud, y) in enumerate(zip(pushed, references, strict=True)):
            exact = energy.density_integrand(cloud.x, cloud.log_density)
            here = exact - self.dual.at_samples(self.log_ratio(cloud.x), cloud.x)
            here = ensemble.weighted(k, here).double()
            there = self.dual.at_reference(self.log_ratio(y)).double()
            own.append(torch.stack([each for one in (here, there) for each in
                                    (one.sum(), one.square().sum())]))  # fmt: skip
            lost.append(self._left(cloud.x))
        sums = torch.cat([tree_sum(own), tree_sum(lost)[None]])
        *means, left = ensemble.averaged(ensemble.communicator.sum(sums)).tolist()
        if left:
            raise StepFailed(
                f"{round(left * ensemble.total)} of {ensemble.total} samples have left the box on "
                "which their density is compared with a uniform one: a larger method.margin, or a "
                "shorter method.step, keeps them inside"
            )
        errors = [
            ensemble.standard_error(mean, square)
            for mean, square in zip(means[::2], means[1::2], strict=True)
        ]
        return means[0] + means[2], sum(error**2 for error in errors) ** 0.5

    def _left(self, x: Tensor) -> Tensor:
        """How many have left the box of Γ, where it has one."""
        if not isinstance(self.dual, PowerDual):
            return torch.zeros((), dtype=torch.float64, device=x.device)
        return self.dual.reference.has_left(x).double().sum()

    def reached(self) -> MapState:
        """The map at the end of the step."""
        return replace(self.begun, theta=self.map.get_theta())
