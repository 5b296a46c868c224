"""What is asked of the gradients of functions of x: the metric, the weak form, a figure."""

from __future__ import annotations

from dataclasses import dataclass

from ...choices import Form, Metric
from ...gradients import basis_size
from .options import PWGFOptions


@dataclass(frozen=True)
class Gradients:
    """What the gradients of functions of x serve."""

    count: int
    """q, the number of the functions."""
    epsilon: float | None = None
    """ε of the metric G_ε; None for Ĝ."""


def wanted_gradients(options: PWGFOptions, dimension: int) -> Gradients | None:
    """What options ask for in d dimensions; None for nothing. On the line only the weak form asks,
    as there every field is a gradient."""
    line = dimension == 1 and options.form is not Form.WEAK
    if line or not options.tells_gradient_error:
        return None
    projects = options.metric_in(dimension) is Metric.GRADIENT
    count = basis_size(options.functions, options.samples, dimension)
    return Gradients(count, options.epsilon if projects else None)
