"""A summary with figures that its run has not stored, computed anew from its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ..cloud import Cloud
from ..diagnostics import ErrorField
from ..errors import InputError
from ..problems import Problem
from ..report import Summary
from ..report.further import Corrected
from ..report.summary import displacement, relative_errors
from .divergence_to_exact import no_reversible_flow
from .expectations import expectations
from .stored_error import StoredError, stored_errors
from .trajectory import Trajectory


def with_exact_kl(summary: Summary, run: Trajectory, **numbers: int) -> Summary:
    """With KL to the exact density of the flow at every stored time. `numbers`: of
    `Trajectory.exact_divergence`."""
    if reason := no_reversible_flow(run.spec.problem):
        return replace(summary, kl_exact_notes=[f"none is given, as {reason}"])
    found = [run.exact_divergence(time, **numbers) for time in summary.times]
    notes = [
        f"at t = {time:.9g}, {each.note}"
        for time, each in zip(summary.times, found, strict=True)
        if each.note
    ]
    return replace(
        summary,
        kl_exact=[each.value for each in found],
        kl_exact_error=[each.standard_error for each in found],
        kl_exact_notes=notes,
    )


def with_bound(summary: Summary, run: Trajectory) -> Summary:
    """With bound and estimate of the error of the path through the stored rows."""
    errors = stored_errors(run, along_rows=True)
    bound, estimate = (
        np.array([np.nan if value is None else value for value in values])
        for values in ([each.bound for each in errors], [each.estimate for each in errors])
    )
    bounds, estimates = relative_errors(bound, estimate, _displacement(run))
    return replace(
        summary,
        error_bound_relative=bounds,
        error_estimate_relative=estimates,
        convexity=errors[-1].convexity,
        convexity_source=errors[-1].convexity_source,
    )


def _displacement(run: Trajectory) -> np.ndarray:
    return displacement({key: run.run.column(key) for key in ("displacement", "map_displacement")})


def with_correction(summary: Summary, run: Trajectory) -> Summary:
    """With figures of the samples moved by the estimated error, of the run itself or where it has
    none of the path through its rows. Errors: `InputError` where the error is not followed."""
    found = zip(stored_errors(run), _displacement(run).tolist(), strict=True)
    errors = [
        # Beyond the displacement e is not small, and no linearised equation tells it.
        replace(each, field=None) if each.estimate is not None and each.estimate > moved else each
        for each, moved in found
    ]
    if all(each.estimate is None for each in errors[1:]):
        raise InputError(
            "there is no correction, as the error's estimate is not known for this problem: it is "
            "for potentials, entropy and internal energies, in up to 64 dimensions where the "
            "potential's Hessian is full"
        )
    pairs = [_map_errors(run.spec.problem, each) for each in errors]
    exact = run.spec.problem.exact is not None
    return replace(
        summary,
        corrected=Corrected(
            map_error_relative=[after for _, after in pairs] if exact else None,
            map_error_relative_before=[before for before, _ in pairs] if exact else None,
            second_moment=_moments(errors, lambda field: field.corrected),
            second_moment_before=_moments(errors, lambda field: field.x),
        ),
    )


def _moments(
    errors: list[StoredError], points: Callable[[ErrorField], torch.Tensor]
) -> list[float | None]:
    return [
        None if (field := each.field) is None else field.mean_square(points(field))
        for each in errors
    ]


def _map_errors(problem: Problem, found: StoredError) -> tuple[float | None, float | None]:
    """(E|T(z) − T_exact(z)|²/E|T_exact(z) − z|²)^½, and with T(z) − e in place of T(z)."""
    field = found.field
    if field is None or problem.exact is None:
        return None, None
    exact = problem.exact(found.time - problem.start_time, field.z).double()
    displaced = field.mean_square(exact - field.z.double())
    if not displaced > 0:
        return None, None
    before, after = (
        (field.mean_square(each - exact) / displaced) ** 0.5
        for each in (field.x.double(), field.corrected)
    )
    return before, after


def with_expectations(summary: Summary, run: Trajectory) -> Summary:
    """With expectations of the stationary density by the stored samples of the last row."""
    stored = run.run
    particles, log_density = stored.last("particles"), stored.last("log_density")
    weight = stored.log_weight()
    x, logarithm = torch.from_numpy(particles), torch.from_numpy(log_density)
    cloud = Cloud(
        x=x,
        log_density=logarithm,
        score=torch.full_like(x, torch.nan),
        log_weight=None if weight is None else torch.from_numpy(weight),
    )
    time = float(stored.particle_times[-1])
    return replace(summary, expectations=expectations(run.spec.problem, cloud, time))
