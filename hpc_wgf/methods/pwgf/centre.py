"""The centre of mass of a flow that conserves it, held at its start.

No translation changes an energy of interactions, or of interactions, entropy and internal energy:
E[x] is constant along its flow. Forces between the samples of a step add up to 0, and least squares
hold the mean of these samples; but that of the next step's samples is another one, so that E[x]
would walk, by h n^{−½} a step of length h. Every step is therefore followed by a projection onto
E[T_θ(z)] = E[z], along those parameters whose motion comes nearest to a translation of all samples,
which leaves the energy as it is (E. Hairer, C. Lubich, G. Wanner, Geometric Numerical Integration,
2nd ed., Springer 2006, IV.4).

E is the mean over one fixed sample, as conserved as that of a system of so many particles. It
differs from that over the density by a sampling error, which no longer grows with time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ...choices import Form
from ...cloud import Cloud
from ...ensemble import Ensemble
from ...maps import MapState
from ...metric import StandingGram
from ...parallel import RandomStream, SampleBlocks, tree_sum
from ...problems import Flow, SumOfEnergies
from ..base import Setting
from .direct import ParameterSolver
from .normal_equations import assemble
from .solver_memory import Memory

_HELD = 1e-4  # of the spread of x, to which the centre is held
_RTOL = 1e-2  # of the way back, which is short
_MOST_SOLVES = 4
_FOLLOWED = 0.5  # least part of a translation that a map has to follow


@dataclass(frozen=True)
class CentreOfMass:
    """The mean of one fixed sample of the start density, which is to stay."""

    sample: Ensemble
    """The sample, before all stages."""
    budget: int | None
    """Bytes that linearisations may keep."""

    @classmethod
    def kept(cls, setting: Setting, steps: SampleBlocks, budget: int | None) -> Self | None:
        """That of the evaluation sample, or where this has fewer samples than the `steps`, of as
        many of its own: the mean of few particles must not decide on the centre of the density.
        None where the flow conserves no centre."""
        problem = setting.problem
        conserved = problem.energy.keeps_centre and problem.is_plain and problem.periods is None
        if not conserved:
            return None
        sampler, blocks, stream = (
            setting.sampler,
            setting.evaluation.blocks,
            RandomStream.EVALUATION,
        )
        if blocks.total < steps.total:
            blocks, stream = steps, RandomStream.CENTRE
        # Drawn anew in the chunks of a step, whose sums are the same on 1, 2, 4, … ranks.
        parts = sampler.parts(blocks, setting.map.chunk_size())
        return cls(sampler.draw(blocks, parts, stream), budget)

    @cached_property
    def start(self) -> Tensor:
        """E[z], (d,) in float64; collective where it is first asked for."""
        sums = [self._sum(k, chunk.x) for k, chunk in enumerate(self.sample.chunks)]
        return self.sample.mean(tree_sum(sums))

    def drift(self, map: MapState) -> tuple[Tensor, float]:
        """E[T(z)] − E[z], (d,) in float64, and the spread (E|x − E[x]|²)^½ of x = T(z); collective,
        one all-reduce."""
        sums, start = [], self.start
        for k, chunk in enumerate(self.sample.chunks):
            x = map(chunk.x).double()
            square = self.sample.square(k, x - start)
            sums.append(torch.cat([self._sum(k, x - chunk.x), square[None]]))
        *drift, square = self.sample.mean(tree_sum(sums)).split(1)
        moved = torch.cat(drift)
        return moved, float((square - moved.square().sum()).clamp(min=0).sqrt())

    def restored(
        self,
        map: MapState,
        ensemble: Ensemble,
        solver: ParameterSolver,
        memory: Memory | None,
        standing: StandingGram | None = None,
    ) -> tuple[MapState, int, int]:
        """The state with its centre brought back, and the products and solves that it took.

        `ensemble`, `memory`: the samples of the step, and what its last solve left. `standing`: see
        `assemble`. The state stays
        as it is where the centre is off by less than 1e-4 of the spread, and where the map cannot
        follow half of a translation. By Newton's method: a translation is linear in θ only where it
        is short beside the features of the map. Collective. Errors: `StepFailed`."""
        products = solves = 0
        while solves < _MOST_SOLVES:
            drift, spread = self.drift(map)
            if not float(drift.norm()) > _HELD * spread:
                break
            back = Flow(SumOfEnergies([_Linear(drift)]))  # its force is the drift everywhere
            system = assemble(
                map.active(), ensemble, back, form=Form.FORCE, budget=self.budget,
                standing=standing,
            )  # fmt: skip
            change, stats = solver.iterate(map.map, system, memory, rtol=_RTOL)
            products, solves = products + stats.products, solves + 1
            followed = torch.dot(system.b.double(), change.double())  # of |drift|², c·Ĝc
            if not float(followed) >= _FOLLOWED * float(drift.square().sum()):
                break
            map = map.moved(map.theta + change)
            del system  # It occupies the place of the next.
        return map, products, solves

    def _sum(self, k: int, values: Tensor) -> Tensor:
        return self.sample.weighted(k, values.double()).sum(0)


@dataclass(frozen=True)
class _Linear:
    """F = E[a·x], f = a."""

    a: Tensor
    """(d,)."""
    needs_density = False

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return x @ self.a.to(x)

    def force(self, cloud: Cloud) -> Tensor:
        return self.a.to(cloud.x).expand_as(cloud.x)
