"""Flows that are separable in other coordinates than those given."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .densities import Density, Gaussian, Mixture
from .matrices import multiple_of_identity
from .named_potentials import GaussianMixture
from .potentials import Potential, is_separable
from .products import frame, gaussian_factors, gaussians
from .separable import SeparableFlow

_MOST = 1000  # dimensions in which a basis is written out


@dataclass(frozen=True)
class TurnedFlow:
    """x = B T(t, Bᵀz), T a flow that is separable in the coordinates y = Bᵀx. Isotropic diffusion
    is the same in all orthonormal coordinates."""

    basis: Tensor
    """B, orthonormal, (d, d)."""
    flow: SeparableFlow
    """T."""

    @classmethod
    def known(cls, potential: Potential, beta: float, start: Density) -> TurnedFlow | None:
        """The flow of a Gaussian mixture e^{−V} whose means form a product, as two of them do or
        the corners of a square, with diffusion `beta` > 0 from isotropic Gaussians; else None."""
        if not isinstance(potential, GaussianMixture) or start.dimension > _MOST:
            return None
        basis = frame(potential.means)
        turned, law = potential.turned(basis), _turned(start, basis)
        if law is None or gaussian_factors(law) is None or not is_separable(turned, law.dimension):
            return None
        return cls(basis, SeparableFlow(turned, beta, law))

    def __call__(self, t: float, z: Tensor) -> Tensor:
        z = z.double().cpu()
        return z if t == 0.0 else self.flow(t, z @ self.basis) @ self.basis.T


def _turned(start: Density, basis: Tensor) -> Gaussian | Mixture | None:
    """The law of Bᵀz, z of `start`, where that is an isotropic Gaussian or a mixture of such."""
    parts, d = gaussians(start, multiple_of_identity), start.dimension
    if parts is None:
        return None
    turned = [Gaussian(d, part.mean @ basis, variance) for part, variance in parts]
    return Mixture(turned, start.weights.tolist()) if isinstance(start, Mixture) else turned[0]
