"""ψ with ∇ψ = ΠJη, the gradient that moves the density as a stored map does [PFPE (27)]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError, StepFailed
from ..gradients import GradientProjection, RidgeBasis, basis_size, told_of_size
from .trajectory import Trajectory


@dataclass(frozen=True)
class VelocityPotential:
    """ψ = Σ_k c_k φ_k at one time; along an exact flow ∇ψ = −f, and ψ = −δF/δρ but for a
    constant."""

    basis: RidgeBasis
    """φ_k."""
    coefficients: Tensor
    """c, (q,) in float64."""
    square: float
    """E|Jη|², in x²/t²."""
    left: float
    """E|Jη − ∇ψ|²: the part of the motion that leaves the density as it is, and what the functions
    do not show."""

    def __call__(self, x: Tensor) -> Tensor:
        """ψ at x, (n, d) → (n,), up to a constant, in x²/t."""
        return self.basis.values(x.double()) @ self.coefficients

    def gradient(self, x: Tensor) -> Tensor:
        """∇ψ at x, (n, d) → (n, d), in x/t."""
        slopes = self.basis.first(x.double())
        return (slopes * self.coefficients) @ self.basis.directions


def velocity_potential(
    run: Trajectory, time: float, *, functions: int | None = None
) -> VelocityPotential:
    """ψ at a stored time, by `functions` functions on the evaluation sample: by default a 20th of
    its samples, at most 200.

    Errors: `InputError` for a time between rows, a run on circles, and where no velocity is
    stored."""
    map, eta = run.map(time), run.run.velocity(run.row(time))
    if run.problem.periods is not None:
        raise InputError("ψ is not known on circles: its functions are those of the plane")
    if eta is None:
        raise InputError(f"{run.run.path} has no velocity of its parameters at t = {time:g}")
    ensemble = run.setting.evaluation.ensemble.carried(map.stages, score=False)
    active, velocity = map.active(), torch.from_numpy(eta).to(map.theta)
    with torch.no_grad():
        images = [active(z) for z in ensemble.points]
    linearizer = active.linearizer()
    moved = [linearizer.linearize(z, budget=0).jvp(velocity) for z in ensemble.points]
    count = basis_size(functions, ensemble.total, run.problem.dimension)
    if wrong := told_of_size(count, ensemble.total, run.problem.dimension):
        raise InputError(wrong)
    try:
        projection = GradientProjection.at(images, ensemble, count)
    except StepFailed as failure:
        raise InputError(f"ψ at t = {time:g}: {failure}") from failure
    moments = projection.moments(moved)
    square = float(ensemble.expectation([a.square().sum(1, keepdim=True) for a in moved]))
    return VelocityPotential(
        projection.basis, projection.coefficients(moments), square,
        max(0.0, square - projection.square(moments)),
    )  # fmt: skip
