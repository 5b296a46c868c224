"""What a step of Deep JKO minimises, on samples of ρ_k of which log ρ_k is known [DJKO (14), (24)]:

    E[∫₀¹ uᵀP⁻¹u dτ]/2h + F(ρ_{k+1}),    x' = u(τ, x),  ℓ' = ∇·u,  log ρ = log ρ_k − ℓ,

over velocities u, of which x(1) are samples of ρ_{k+1}. P is the mobility: 1 for the Wasserstein
metric, M(ρ)/ρ along the path, or Cov(ρ_k), which is held during the step as in the paper. What
mobilities take means of, they take where the step begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...cloud import Cloud
from ...ensemble import Ensemble
from ...maps.velocity_networks import VelocityNetwork, integrate
from ...matrix_field import MatrixField
from ...interactions import Particles
from ...parallel import LocalCommunicator, TreeSum
from ...problems import ChunkForce, Flow, SumOfEnergies, UserMobility


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


class Evaluated(NamedTuple):
    """The objective at one network."""

    objective: float
    """E[∫uᵀP⁻¹u dτ]/2h + F."""
    action: float
    """E[∫uᵀP⁻¹u dτ]."""
    gradient: Tensor
    """Of the objective, (p,) in the order of the network's parameters."""
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
        position = [*energy.of_position, *energy.interactions]
        self._of_position = SumOfEnergies(position) if position else None
        self._held = _HeldLargest(ensemble)
        self._fields: Sequence[MatrixField] = ()
        if flow.mobility is not None:
            self._fields = flow.mobility.at(ensemble.chunks, self._held)

    def at_network(self) -> Evaluated:
        """The objective and its gradient at the present parameters of the network. Collective."""
        forces = [None] * len(self._ensemble.chunks)
        if self._flow.energy.interactions:
            with torch.no_grad():  # Every particle feels those of all chunks.
                ends = [self._moved(k)[0] for k in range(len(self._ensemble.chunks))]
            forces = self._forces(ends)
        sums = TreeSum()
        for k, force in enumerate(forces):
            sums.add(self._chunk_sums(k, force))
        summed = self._ensemble.averaged(self._ensemble.communicator.sum(sums.total()))
        energy, action, lost = summed[-3:].tolist()
        return Evaluated(
            energy + action / (2 * self._size), action, summed[:-3], round(lost * self._ensemble.total)
        )

    def _forces(self, ends: Sequence[Cloud]) -> Sequence[ChunkForce]:
        assert self._of_position is not None
        return self._ensemble.forces(self._of_position, ends, values=True)

    def _moved(self, k: int) -> tuple[Cloud, Tensor]:
        """The images of the samples of a chunk, with their log-density, and the action of each."""
        begun, at = self._ensemble.chunks[k], self._coordinates
        d, factor = begun.x.shape[1], at.speed

        def rate(time: float, y: Tensor) -> Tensor:
            v, divergence = self._network.with_divergence(time, y[:, :d])
            cost = self._cost(k, at.outside(y[:, :d]), begun.log_density - y[:, d], v)
            return torch.cat([factor * v, factor * divergence[:, None], cost[:, None]], 1)

        still = begun.x.new_zeros(len(begun.x), 2)
        y = integrate(rate, torch.cat([at.inside(begun.x), still], 1), self._steps)
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

    def _chunk_sums(self, k: int, force: ChunkForce | None) -> Tensor:
        """Σ over the samples of a chunk: of the gradient, of the energy, of the action, and of
        those that are lost, (p + 3,) in float64."""
        end, action = self._moved(k)
        energy, density = self._flow.energy, torch.zeros_like(action)
        if energy.needs_density:
            density = energy.density_integrand(end.x, end.log_density)
        value = density.detach()
        if force is None and self._of_position is not None:
            alone = Particles([end.x.detach()], [[len(end.x)]], LocalCommunicator())
            (force,) = self._of_position.forces([_detached(end)], alone, values=True)
        moved = density + action / (2 * self._size)
        if force is not None:
            # Of an interaction, too, the force is the gradient of F at the particle.
            moved = moved + (force.position * end.x).sum(1)
            assert force.value is not None
            value = value + force.value
        sound = value.isfinite() & moved.detach().isfinite()
        moved = self._ensemble.weighted(k, torch.where(sound, moved, 0.0))
        parameters = list(self._network.parameters())
        gradient = torch.autograd.grad(moved.sum(), parameters, materialize_grads=True)
        told = [
            self._ensemble.weighted(k, torch.where(sound, each.detach(), 0.0)).double().sum()
            for each in (value, action)
        ]
        flat = torch.cat([each.reshape(-1) for each in gradient]).double()
        return torch.cat([flat, torch.stack([*told, (~sound).sum().double()])])


def _detached(cloud: Cloud) -> Cloud:
    return replace(cloud, x=cloud.x.detach(), log_density=cloud.log_density.detach())
