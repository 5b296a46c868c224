"""What options say of the metric in which the parameters descend, and what does not go with it."""

from __future__ import annotations

from ...choices import Form, Metric, Preconditioning, Solver
from ...errors import InputError


class MetricChoice:
    """The options that are told by `PWGFOptions`, as far as they concern the metric."""

    metric: Metric
    epsilon: float
    functions: int | None
    gradient_error: bool
    form: Form
    solver: Solver
    scheme: str
    accuracy: float | None
    validation: float | None
    preconditioner: Preconditioning
    shift: float | None

    @property
    def later(self) -> dict[str, object]:
        """The choices that `repr` leaves out, where they decide a trajectory otherwise than by
        default."""
        found: dict[str, object] = {}
        if self.metric is not Metric.PULLBACK:
            found["metric"] = self.metric
        if self.metric is Metric.GRADIENT:
            found["epsilon"] = self.epsilon
        if self.functions is not None and (found or self.form is Form.WEAK):
            found["functions"] = self.functions
        return found

    def metric_in(self, dimension: int) -> Metric:
        """The metric in d dimensions: on the line every field is a gradient, and G_ε is Ĝ."""
        line = dimension == 1 and self.metric is Metric.GRADIENT
        return Metric.PULLBACK if line else self.metric

    @property
    def tells_gradient_error(self) -> bool:
        """Whether δ_G is among the figures."""
        return self.metric is Metric.GRADIENT or self.form is Form.WEAK or self.gradient_error

    def check_metric(self) -> None:
        """Errors: `InputError` where the metric does not go with other options."""
        from ...integrators import SCHEMES

        if self.functions is not None and not self.tells_gradient_error:
            raise InputError(
                'functions are for metric = "gradient", form = "weak" and gradient_error: leave '
                "method.functions out"
            )
        if self.metric is Metric.PULLBACK:
            return
        called = f'metric = "{self.metric}"'
        if self.metric is Metric.GRADIENT and self.form is Form.ENERGY:
            raise InputError(
                f"{called} projects the force, which the energy form has not: use method.form = "
                '"force", or "weak" for starts with a jump'
            )
        if self.solver is Solver.LSMR:
            raise InputError(
                f"solver lsmr is for least squares in the motions of samples, which {called} does "
                'not weigh alike: use method.solver = "minres", or leave it out'
            )
        if SCHEMES[self.scheme].implicit:
            raise InputError(
                f"scheme {self.scheme} takes the curvature in the metric Ĝ: use another scheme "
                f'with {called} (rkc2 for stiff flows), or metric = "pullback"'
            )
        if self.accuracy is not None:
            raise InputError(
                f"method.accuracy finds settings for the metric Ĝ: leave it out with {called}"
            )
        if self.metric is Metric.FLAT and (idle := self._of_solves()):
            raise InputError(f"{called} solves no system: leave method.{idle[0]} out")

    def _of_solves(self) -> list[str]:
        """The options of solves that have been given."""
        given = {
            "solver": self.solver is not Solver.AUTOMATIC,
            "validation": self.validation is not None,
            "preconditioner": self.preconditioner is not Preconditioning.AUTOMATIC,
            "shift": self.shift is not None,
        }
        return [name for name, is_given in given.items() if is_given]
