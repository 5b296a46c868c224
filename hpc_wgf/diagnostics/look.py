"""What a judge has found at one time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Look:
    """The evaluation sample carried by a map T to a density ρ, and what is found there."""

    x: Tensor
    """The images T(z) of this rank's samples, (n_local, d)."""
    log_density: Tensor
    """log ρ at the images, (n_local,). NaN where det ∇T ≤ 0."""
    values: Tensor
    """The integrand of F at this rank's samples, (n_local,), whose mean over all of them is F. NaN
    where the map has folded, if F depends on the density."""
    force_squares: Tensor
    """|f|² at this rank's samples, (n_local,) in float64. NaN where `values` is."""
    energy: float
    """F(ρ), estimated by its mean over the sample."""
    energy_change_error: float
    """Standard error of the change of `energy` since an earlier look: that of the mean of paired
    differences, in which a constant in the energy cancels. NaN if no earlier look was given."""
    projection_error: float
    """E|Jη + f|², J = ∂T/∂θ, in units of |f|²: the part of the force f that the velocity η of the
    parameters does not follow. NaN if no velocity was given, or if the mean square is infinite or
    cannot be estimated from samples (see `residual_is_defined`)."""
    force_square: float
    """E|f|². NaN where `projection_error` is."""
    folded: int
    """Number of samples of all ranks at which det ∇T ≤ 0, that is, the map has folded. They are
    left out of all means if the energy depends on the density."""
    displacement: float
    """(E|T(z) − z|²)^½, T the whole map and z samples of the start density, in units of x: how far
    the flow has moved them."""
    work: float
    """E[f·Jη] + ∂ₜF, where f is the force of those parts of the energy that do not depend on the
    density: the rate of change of these parts along θ' = η. ∂ₜF if no velocity was given."""
