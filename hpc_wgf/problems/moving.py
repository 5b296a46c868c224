"""Potentials V(x, t) that move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..cloud import Cloud
from ..errors import InputError
from ..kinds import check_kind
from ..user_code import called, check_values, said, takes_time
from .potentials import Potential

_OFF = 1e-2  # of the largest ∂ₜV, which a derivative may be from a difference
_OF_TIME = "Use torch functions of t: float(t), math.sin(t) and numpy hide the time from torch"


class PotentialAt(Potential):
    """V(·, t) at one time t."""

    def __init__(self, moving: MovingPotential, time: float) -> None:
        self.moving, self.time, self.dimension = moving, time, moving.dimension

    def __repr__(self) -> str:
        return f"{self.moving} at t = {self.time:g}"

    def __call__(self, x: Tensor) -> Tensor:
        return self.moving(x, x.new_full((), self.time))

    def hessian(self) -> Tensor | None:
        return self.moving.hessian()


class MovingPotential:
    """V(x, t). A subclass defines V; a function of a user is given to `UserMovingPotential`."""

    dimension: int | None = None
    """d, or None if V is defined for all."""

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """V(x, t), (n, d) and a tensor without dimensions → (n,), differentiable in both."""
        raise NotImplementedError

    def hessian(self) -> Tensor | None:
        """∇²V, (d, d), if it is the same everywhere and at all times; else None."""
        return None

    def time_derivative(self, x: Tensor, time: float) -> Tensor:
        """∂ₜV(x, t), (n, d) → (n,)."""
        at = x.new_full((), time)
        with torch.enable_grad():
            found = torch.func.jvp(lambda t: self(x, t), (at,), (torch.ones_like(at),))
        return found[1].detach()


class UserMovingPotential(MovingPotential):
    """V(x, t) given by a torch function."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str | None = None):
        """`function`: V, of x, (n, d), and t, a tensor without dimensions in the precision of x:
        (n,), differentiable in both by torch. `name`: what descriptions call it.

        Errors: `InputError` if it does not take x and t."""
        self.function = function
        self.name = name or getattr(function, "__qualname__", repr(function))
        if not takes_time(function, f"the potential {self.name}"):
            raise InputError(
                f"the potential {self.name} takes x alone: a potential that moves is a function of "
                'x and t. Give it as UserPotential, in run files with kind = "user"'
            )

    def __repr__(self) -> str:
        return f"UserMovingPotential({self.name})"

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        what = f"the potential {self.name}"
        value = called(what, self.function, x.clone(), time)
        check_values(what, value, x, x.shape[:1], "one value per sample")
        return value


@dataclass(frozen=True)
class MovingPotentialEnergy:
    """F(t) = ∫ V(x, t) ρ, f = ∇V(·, t): as any energy, at the time that it holds."""

    potential: MovingPotential
    """V."""
    time: float = 0.0
    """t."""
    factor: float = 1.0
    """Of V."""
    needs_density = False

    def __post_init__(self) -> None:
        check_kind(
            self.potential, "potential that moves", ("dimension", "hessian", "time_derivative"),
            "give UserMovingPotential(…) of a function of x and t, or MovingTrap(…)",
        )  # fmt: skip

    def __repr__(self) -> str:
        # The time is that of the moment, and tells no two flows apart.
        return f"MovingPotentialEnergy({self.potential}, factor={self.factor})"

    def at(self, time: float) -> MovingPotentialEnergy:
        """The energy at another time."""
        return replace(self, time=time)

    @property
    def present(self) -> Potential:
        """V(·, t), without the factor."""
        return PotentialAt(self.potential, self.time)

    def integrand(self, x: Tensor, log_density: Tensor) -> Tensor:
        return self.factor * self.present(x)

    def force(self, cloud: Cloud) -> Tensor:
        return self.factor * self.present.gradient(cloud.x)

    def time_derivative(self, x: Tensor) -> Tensor:
        """∂ₜφ at x, (n, d) → (n,)."""
        return self.factor * self.potential.time_derivative(x, self.time)


def check_rate(potential: MovingPotential, x: Tensor, times: Sequence[float]) -> None:
    """Hold ∂ₜV to central differences at samples x, (n, d), and at `times`, which are best within
    the run: at its start a potential that is switched on has a kink.

    Errors: `InputError` where ∂ₜV cannot be found, or is not what V says by its values."""
    for time in times:
        try:
            rate = potential.time_derivative(x, time).double()
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"∂ₜV of {potential} cannot be found: {said(error)}. {_OF_TIME}"
            ) from (error)
        known, apart = _difference(potential, x, time)
        off = (rate - known).abs()
        k = int((off - apart).argmax())
        if not bool(off[k] <= apart[k] + _OFF * known.abs().max()):
            raise InputError(
                f"∂ₜV of {potential} is {float(rate[k]):.4g} by its derivative and "
                f"{float(known[k]):.4g} by its values at t = {time:.4g}. {_OF_TIME}"
            )


def _difference(potential: MovingPotential, x: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """∂ₜV at x by a central difference, (n,), and how far it may be off: by rounding, and by what
    two widths are apart."""
    precision = torch.finfo(x.dtype).eps
    width = precision ** (1 / 3) * max(1.0, abs(time))
    values = [[potential(x, x.new_tensor(time + side * h)).detach().double() for side in (1, -1)]
              for h in (width, width / 2)]  # fmt: skip
    wide, narrow = ((after - before) / (2 * h) for (after, before), h in
                    zip(values, (width, width / 2), strict=True))  # fmt: skip
    rounded = 100 * precision * values[0][0].abs() / width
    return narrow, rounded + 10 * (wide - narrow).abs()


class MovingTrap(MovingPotential):
    """V(x, t) = ½ Σᵢ |xᵢ − c(t)|² − (α/4N) Σᵢⱼ |xᵢ − xⱼ|² for N particles xᵢ of the plane that
    repel each other in a trap which goes round, c(t) = r (cos ωt, sin ωt); x = (x₁, …, x_N)."""

    def __init__(
        self, particles: int, repulsion: float = 0.5, radius: float = 2.0,
        frequency: float = torch.pi,
    ):  # fmt: skip
        """`particles`: N ≥ 1. `repulsion`: α. `radius`: r. `frequency`: ω."""
        if particles < 1:
            raise InputError(f"a trap needs a particle at least, got {particles}")
        self.particles, self.dimension = particles, 2 * particles
        self.repulsion, self.radius, self.frequency = repulsion, radius, frequency

    def __repr__(self) -> str:
        return (
            f"MovingTrap(particles={self.particles}, repulsion={self.repulsion}, "
            f"radius={self.radius}, frequency={self.frequency})"
        )

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        each, phase = x.view(len(x), -1, 2), self.frequency * time
        centre = self.radius * torch.stack([torch.cos(phase), torch.sin(phase)])
        spread = (each - each.mean(1, keepdim=True)).square().sum((1, 2))
        # Σᵢⱼ |xᵢ − xⱼ|² = 2N Σᵢ |xᵢ − x̄|²
        return 0.5 * (each - centre).square().sum((1, 2)) - 0.5 * self.repulsion * spread

    def hessian(self) -> Tensor:
        N = self.particles
        relative = torch.eye(N, dtype=torch.float64) - 1.0 / N
        shape = torch.eye(N, dtype=torch.float64) - self.repulsion * relative
        return torch.kron(shape, torch.eye(2, dtype=torch.float64))
