"""What is refused before a run by implicit steps, and what is warned of."""

from __future__ import annotations

import torch

from ...choices import Forward, InnerProduct
from ...errors import InputError
from ...problems import Problem
from ..base import layout_samples
from .curvature import OfPosition
from .options import ImplicitOptions

_MOST = 512  # start samples at which curvatures are looked at


def check_options(problem: Problem, options: ImplicitOptions) -> None:
    """Errors: `InputError` for what implicit steps cannot carry out."""
    if problem.inner_product is InnerProduct.PLAIN and problem.mobility is not None:
        raise InputError(
            "implicit steps weigh distances by the inverse of the mobility, as its natural inner "
            'product does: use problem.mobility.inner_product = "natural", or method.kind = "pwgf"'
        )
    if options.forward is Forward.INTERACTIONS:
        if not problem.energy.interactions:
            raise InputError(
                'method.forward = "interactions" has nothing to take forward, as the energy has no '
                "interaction: leave it out"
            )
        if len(problem.energy.interactions) == len(problem.energy.parts):
            raise InputError(
                'method.forward = "interactions" leaves nothing implicit, as the energy has '
                'nothing but interactions: leave it out, or use method.kind = "pwgf"'
            )
        if problem.mobility is not None:
            raise InputError(
                'method.forward = "interactions" is for flows without mobility: leave it out'
            )


def stiffness_at_start(problem: Problem) -> float:
    """The largest eigenvalue of ∇²V at start samples, at least 0: the rate at which the flow
    contracts there. The same on every rank."""
    return max(0.0, _eigenvalues(problem)[1])


def concavity_warnings(problem: Problem, coefficient: float, step_size: float) -> list[str]:
    """Where τ = `coefficient` · `step_size` is beyond 1/|λ_min ∇²V|, so that a stage's objective is
    not convex."""
    known = problem.energy.convexity() if problem.convexity is None else problem.convexity
    least = _eigenvalues(problem)[0] if known is None else known
    tau = coefficient * step_size
    if not tau * -least > 1.0:
        return []
    where = "" if known is not None else " at a start sample"
    return [
        f"a stage of {tau:.3g} (method.step = {step_size:g}) is longer than 1/|κ| = "
        f"{-1.0 / least:.3g}, the curvature of the energy being {least:.3g}{where}: its objective "
        "is not convex, and may have more than one minimum. Steps up to "
        f"{-1.0 / (least * coefficient):.2g} have one"
    ]


def _eigenvalues(problem: Problem) -> tuple[float, float]:
    """The least and the largest eigenvalue of ∇²V at start samples; 0 where no energy depends on
    x alone."""
    energy = problem.energy
    if not energy.of_position:
        return 0.0, 0.0
    hessians = OfPosition(energy).hessians(layout_samples(problem.start)[:_MOST])
    finite = hessians[hessians.flatten(1).isfinite().all(1)]
    if not len(finite):
        return 0.0, 0.0
    values = torch.linalg.eigvalsh(finite)
    return float(values.min()), float(values.max())
