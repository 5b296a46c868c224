"""Independent references that the tests hold the solver against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hpc_wgf.cloud import Cloud
from hpc_wgf.interactions import Particles
from hpc_wgf.maps import PushForward
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import ChunkForce, Density, Potential, SumOfEnergies


def euler_maruyama(
    potential: Potential, start: Density, times: Sequence[float], *,
    particles: int = 100_000, step: float = 1e-3, beta: float = 1.0, seed: int = 12345,
) -> list[Tensor]:  # fmt: skip
    """dX = −∇V(X) dt + √(2β) dW: independent particles at the given times, (particles, d)."""
    import numpy as np

    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    x = start.sample(random, particles).float()
    now, snapshots = 0.0, []
    for time in times:
        steps = max(0, round((time - now) / step))
        for _ in range(steps):
            dt = (time - now) / steps
            noise = torch.randn(x.shape, generator=generator)
            x = x - dt * potential.gradient(x) + (2 * beta * dt) ** 0.5 * noise
        now = time
        snapshots.append(x.double())
    return snapshots


def dense_jacobian(map: PushForward, z: Tensor) -> Tensor:
    """∂_θ T(z), (n, d, p), by automatic differentiation of every output."""
    names = [name for name, _ in map.named_parameters()]
    values = tuple(map.parameters())

    def images(*parameters: Tensor) -> Tensor:
        return torch.func.functional_call(map, dict(zip(names, parameters, strict=True)), (z,))

    parts = torch.autograd.functional.jacobian(images, values)
    return torch.cat([part.reshape(*z.shape, -1) for part in parts], 2)


def perturb(map: PushForward, size: float = 0.3, seed: int = 0) -> PushForward:
    """The map in float64 at generic parameters, away from the identity."""
    map.double()
    theta = map.get_theta()
    noise = torch.randn(theta.shape, generator=torch.Generator().manual_seed(seed)).double()
    map.set_theta(theta + size * noise / theta.numel() ** 0.25)
    return map


def forces_of_all(energy: SumOfEnergies, cloud: Cloud) -> ChunkForce:
    """f and φ at a cloud that is all there is."""
    particles = Particles([cloud.x], [[len(cloud.x)]], LocalCommunicator())
    return energy.forces([cloud], particles, values=True)[0]
