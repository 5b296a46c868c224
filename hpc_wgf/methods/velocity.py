"""η at a state: the solve, what it leaves over, and how far the map bends along it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..choices import Preconditioning
from ..maps import PushForward
from ..parallel import Communicator, tree_sum
from .base import StepFailed, Velocity
from .options import PWGFOptions
from .sampling import Samples
from .solver import Memory, MetricSolver
from .system import NormalEquations

_MOST_NONLINEAR = 0.5  # of a step, above which η is taken for too large
_LARGEST_SHIFT = 1e-2
_ROUNDING = 8.0  # of T(z), in epsilons of its size
_MOST_MISFIT = 0.25  # of E|f|², that the bending of a step may leave over


@dataclass(frozen=True)
class StepContext:
    """What the later stages of a step share with its first. Its system is not kept: with
    everything that its products have cached it is by far the largest thing in memory."""

    samples: Samples
    validation: Samples | None
    misfit: float  # E|(T_{θ+hη} − T_θ)/h + f|², h the way to the first stage
    damped: bool = False  # by a larger shift than the tolerance asks for
    too_long: bool = False  # the step that was proposed, for any shift


@dataclass(frozen=True)
class Monitor:
    """What is measured beside a solve. `validation`: the system of other samples, which ends the
    iteration. `probe_step`: the length of the step over which the nonlinearity of η is measured."""

    validation: NormalEquations | None = None
    probe_step: float | None = None


class VelocitySolver:
    """Solves for η at the present parameters of one map."""

    def __init__(
        self, map: PushForward, options: PWGFOptions, communicator: Communicator,
        reciprocal_condition: float,
    ) -> None:  # fmt: skip
        self._map, self._communicator = map, communicator
        self.solver = MetricSolver(map, options, communicator, reciprocal_condition)

    @property
    def preconditioner(self) -> Preconditioning:
        """The kind that the solves use."""
        return self.solver.kind

    def solve(self, system: NormalEquations, memory: Memory | None, monitor: Monitor) -> Velocity:
        """η of a system. `memory`: of the solve before. Errors: `StepFailed` where the solve
        fails."""
        return self._slope(system, memory, monitor, raised=False)

    def damped_velocity(
        self, system: NormalEquations, memory: Memory | None, monitor: Monitor
    ) -> Velocity:
        """The velocity whose step moves the samples most nearly as the flow does, its shift raised
        tenfold as often as it takes to make the step nearly linear: an η that has grown along
        directions which hardly move a sample would ruin it. The misfit says when nothing helps, and
        the step is too long for the flow itself. `memory`: of the step before, whose raised shift
        comes down again."""
        first = velocity = tried = self.solve(system, self.solver.decrease_damping(memory), monitor)
        products = first.products
        while tried.memory is not None and tried.nonlinearity > _MOST_NONLINEAR:
            if tried.shift >= _LARGEST_SHIFT:
                break
            tried = self._slope(system, tried.memory, monitor, raised=True)
            products += tried.products
            if tried.context.misfit < velocity.context.misfit:
                velocity = tried
        bearable = 4.0 * first.projection_error + _MOST_MISFIT * first.force_square
        context = replace(
            velocity.context,
            damped=velocity is not first,
            too_long=tried is not first and velocity.context.misfit > bearable,
        )
        return replace(velocity, products=products, context=context)

    def _slope(
        self, system: NormalEquations, memory: Memory | None, monitor: Monitor, *, raised: bool
    ) -> Velocity:
        """`raised`: with a larger shift than the solve before, whose `memory` it is."""
        if raised and memory is not None:
            eta, stats, memory = self.solver.increase_damping(system, memory, monitor.validation)
        else:
            eta, stats, memory = self.solver.solve(self._map, system, memory, monitor.validation)
        if not stats.true_residual <= 1.0:
            raise StepFailed(
                f"the solve ended with a residual of {stats.true_residual:.3g} ‖b‖, worse than "
                f"none: {stats.status} Raise method.rtol or method.samples."
            )
        moved, residual, bent, misfit = self._residuals(system, eta, monitor.probe_step)
        validation = None if monitor.validation is None else monitor.validation.samples
        return Velocity(
            eta=eta,
            energy_rate=-moved,
            projection_error=residual,
            force_square=system.force_square,
            products=stats.products,
            residual=stats.true_residual,
            converged=stats.converged,
            nonlinearity=(bent / moved) ** 0.5 if monitor.probe_step and moved else 0.0,
            shift=0.0 if memory is None else memory.shift,
            memory=memory,
            context=StepContext(system.samples, validation, misfit),
        )

    @torch.no_grad()
    def _residuals(
        self, system: NormalEquations, eta: Tensor, probe_step: float | None
    ) -> list[float]:
        """E|Jη|², E|Jη + f|² and, with u = (T_{θ+hη} − T_θ)/h and h that step, E|u − Jη|² and
        E|u + f|², but for the rounding of u; one all-reduce."""
        theta = self._map.get_theta()
        if probe_step:
            self._map.set_theta(torch.add(theta, eta, alpha=probe_step))
        chunks = zip(system.gram.chunks, system.points, system.images, system.forces, strict=True)
        sums = []
        for J, z, x, force in chunks:
            moved = J.jvp(eta)
            u = (self._map(z) - x).div_(probe_step) if probe_step else moved
            parts = (moved, moved + force, u - moved, u + force, x)
            sums.append(torch.stack([_square(part) for part in parts]))
        self._map.set_theta(theta)
        means = (self._communicator.sum(tree_sum(sums)) / system.total).tolist()
        moved, residual, bent, misfit, size = means
        if probe_step:
            # Near a steady state hη is below the last digits of T, and u is nothing but rounding.
            rounding = (_ROUNDING * torch.finfo(theta.dtype).eps / probe_step) ** 2 * size
            bent, misfit = max(0.0, bent - rounding), max(0.0, misfit - rounding)
        return [moved, residual, bent, misfit]


def _square(values: Tensor) -> Tensor:
    """Σ|·|² in float64, 0-d."""
    return values.double().square().sum()
