"""What a step of Deep JKO minimises, on samples of ρ_k of which log ρ_k is known [DJKO (14), (24)]:

    E[∫₀¹ uᵀP⁻¹u dτ]/2h + F(ρ_{k+1}),    x' = u(τ, x),  ℓ' = ∇·u,  log ρ = log ρ_k − ℓ,

over velocities u, of which x(1) are samples of ρ_{k+1}. P is the mobility: 1 for the Wasserstein
metric, M(ρ)/ρ along the path, or Cov(ρ_k), which is held during the step as in the paper. What
mobilities take means of, they take where the step begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ...cloud import Cloud
from ...ensemble import Ensemble
from ...interactions import Particles
from ...maps.velocity_networks import VelocityNetwork, integrate
from ...matrix_field import MatrixField
from ...parallel import LocalCommunicator, TreeSum, tree_sum
from ...problems import ChunkForce, Energy, Flow, SumOfEnergies, UserMobility
from ..training import Contributions


@dataclass(frozen=True)
class Coordinates:
    """x = m + s y, in which samples have mean 0 and variance about 1, and u = f s v(τ, y) of a
    network v, so that v is about 1 too."""

    centre: Tensor
    """m, (d,)."""
    scale: float
    """s."""
    speed: float
    """f, the movement in the step over s."""

    def inside(self, x: Tensor) -> Tensor:
        """y, (n, d)."""
        return (x - self.centre) / self.scale

    def outside(self, y: Tensor) -> Tensor:
        """x, (n, d)."""
        return self.centre + self.scale * y


_THIN = -50.0  # a log-density at which every energy is a number


class StepFigures(NamedTuple):
    """What a step has reached."""

    objective: float
    """E[∫uᵀP⁻¹u dτ]/2h + F."""
    action: float
    """E[∫uᵀP⁻¹u dτ]."""
    log_det_error: float
    """(E|ℓ − ℓ'|²)^½, ℓ' with twice as many steps in τ."""
    lost: int
    """Samples at which the energy is not a number, as where a density is above its limit."""


class _HeldLargest:
    """`Samples` of a mobility in a step: what is the largest over all ranks where the step begins
    is so all along."""

    def __init__(self, samples: Ensemble) -> None:
        self._samples = samples
        self._known: float | None = None

    def expectation(self, values: Sequence[Tensor]) -> Tensor:
        return self._samples.expectation(values)

    def largest(self, values: Sequence[Tensor]) -> float:
        if self._known is None:
            self._known = self._samples.largest(values)
        return self._known


class StepObjective:
    """The objective of one step, at any parameters of a network."""

    def __init__(
        self, ensemble: Ensemble, flow: Flow, coordinates: Coordinates, *, size: float,
        network: VelocityNetwork, flow_steps: int,
    ) -> None:  # fmt: skip
        """`ensemble`: samples of ρ_k with their log ρ_k. `flow`: at the end of the step. `size`: h.
        `network`: v, whose parameters are set from outside. `flow_steps`: those of Runge–Kutta in
        τ. Collective where the mobility takes means."""
        self._ensemble, self._flow, self._size = ensemble, flow, size
        self._coordinates, self._network, self._steps = coordinates, network, flow_steps
        energy = flow.energy
        position: list[Energy] = [*energy.of_position, *energy.interactions]
        self._of_position = SumOfEnergies(position) if position else None
        self._held = _HeldLargest(ensemble)
        self._fields: Sequence[MatrixField] = ()
        if flow.mobility is not None:
            self._fields = flow.mobility.at(ensemble.chunks, self._held)

    def contributions(self) -> Contributions:
        """The objective in parts, one for each chunk. Collective where there are interactions."""
        forces: Sequence[ChunkForce | None] = [None] * len(self._ensemble.chunks)
        if self._flow.energy.interactions:
            forces = self._forces()
        return [partial(self._part, k, force) for k, force in enumerate(forces)]

    def gradient_norm(self) -> float:
        """That of the objective in the parameters of the network. Collective."""
        parameters = list(self._network.parameters())
        sums = TreeSum()
        for part in self.contributions():
            found = torch.autograd.grad(part(), parameters)
            sums.add(torch.cat([each.double().reshape(-1) for each in found]))
        return float(self._ensemble.communicator.sum(sums.total()).norm())

    @torch.no_grad()
    def _forces(self) -> Sequence[ChunkForce]:
        """Those that every particle feels of all chunks."""
        assert self._of_position is not None
        ends = [self._moved(k)[0] for k in range(len(self._ensemble.chunks))]
        return self._ensemble.forces(self._of_position, ends, values=True)

    def _part(self, k: int, force: ChunkForce | None) -> Tensor:
        """The share of a chunk in the objective, a scalar."""
        end, action = self._moved(k)
        value, _ = self._values(end, action, force)
        return self._ensemble.weighted(k, value).sum() / self._ensemble.total

    @torch.no_grad()
    def figures(self) -> StepFigures:
        """At the present parameters of the network. Collective."""
        forces: Sequence[ChunkForce | None] = [None] * len(self._ensemble.chunks)
        if self._flow.energy.interactions:
            forces = self._forces()
        found = []
        for k, force in enumerate(forces):
            end, action = self._moved(k)
            finer, _ = self._moved(k, steps=2 * self._steps)
            value, sound = self._values(end, action, force)
            off = (end.log_density - finer.log_density).square()
            told = [self._ensemble.weighted(k, each.double()) for each in (value, action, off)]
            found.append(torch.stack([*told, (~sound).double()], 1).sum(0))
        sums = self._ensemble.mean(tree_sum(found)).tolist()
        return StepFigures(sums[0], sums[1], sums[2] ** 0.5, round(sums[3] * self._ensemble.total))

    def _moved(self, k: int, steps: int | None = None) -> tuple[Cloud, Tensor]:
        """The images of the samples of a chunk, with their log-density, and the action of each.
        `steps`: in τ, by default those of the objective."""
        begun, at = self._ensemble.chunks[k], self._coordinates
        d, factor = begun.x.shape[1], at.speed

        def rate(time: float, y: Tensor) -> Tensor:
            v, divergence = self._network.with_divergence(time, y[:, :d])
            cost = self._cost(k, at.outside(y[:, :d]), begun.log_density - y[:, d], v)
            return torch.cat([factor * v, factor * divergence[:, None], cost[:, None]], 1)

        still = begun.x.new_zeros(len(begun.x), 2)
        y = integrate(rate, torch.cat([at.inside(begun.x), still], 1), steps or self._steps)
        end = replace(begun, x=at.outside(y[:, :d]), log_density=begun.log_density - y[:, d])
        return end, y[:, d + 1]

    def _cost(self, k: int, x: Tensor, log_density: Tensor, v: Tensor) -> Tensor:
        """uᵀP⁻¹u at samples of a chunk that have come to x, (n,)."""
        mobility, u = self._flow.mobility, self._coordinates.scale * self._coordinates.speed * v
        if mobility is None:
            return u.square().sum(1)
        field = self._fields[k]
        if mobility.needs_density or isinstance(mobility, UserMobility):
            cloud = replace(self._ensemble.chunks[k], x=x, log_density=log_density)
            (field,) = mobility.at([cloud], self._held)
        return (u * field.inverse_factors[1].times(u)).sum(1)

    def _values(
        self, end: Cloud, action: Tensor, force: ChunkForce | None
    ) -> tuple[Tensor, Tensor]:
        """The integrand of the objective at the samples of a chunk, (n,), 0 where it is not a
        number; and where it is one."""
        value = action / (2 * self._size)
        sound = value.detach().isfinite()
        if self._flow.energy.needs_density:
            density, known = self._of_density(end)
            value, sound = value + density, sound & known
        if force is None and self._of_position is not None:
            x = end.x.detach()
            alone = Particles([x], [[len(x)]], LocalCommunicator(x.device))
            (force,) = self._of_position.forces([replace(end, x=x)], alone, values=True)
        if force is not None:
            assert force.value is not None
            # Of an interaction, too, the force is the gradient of F at the particle.
            value = value + force.value + (force.position * (end.x - end.x.detach())).sum(1)
        sound = sound & value.detach().isfinite()
        return torch.where(sound, value, 0.0), sound

    def _of_density(self, end: Cloud) -> tuple[Tensor, Tensor]:
        """The integrand of the parts that depend on the density, (n,), and where it is a number.
        Where it is none, neither it nor its gradient may enter, not even times 0."""
        energy = self._flow.energy
        with torch.no_grad():
            sound = energy.density_integrand(end.x, end.log_density).isfinite()
        x = torch.where(sound[:, None], end.x, 0.0)
        log_density = torch.where(sound, end.log_density, _THIN)
        return torch.where(sound, energy.density_integrand(x, log_density), 0.0), sound
