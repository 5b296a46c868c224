"""Options that methods have in common: precision, memory, and the tolerance that controls steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..choices import Precision, ToleranceUnit
from ..fields import Number

if TYPE_CHECKING:
    import torch

    from ..integrators import Controller

_LEAST_SCALE = 1e-3  # of the start's spread: where nothing moves, steps need not follow it


def _name_of(dtype: Any) -> Any:
    """The name of a torch dtype; anything else as it is."""
    return str(dtype).removeprefix("torch.") if type(dtype).__name__ == "dtype" else dtype


def _unless_none(value: Any) -> Any:
    """None for "none", by which a run file takes away the value of its base."""
    return None if value == "none" else value


if TYPE_CHECKING:
    DType = Precision | torch.dtype
else:
    DType = Annotated[Precision, BeforeValidator(_name_of, json_schema_input_type=Precision)]
Tolerance = Annotated[
    Annotated[Number, Field(gt=0)] | None,
    BeforeValidator(
        _unless_none, json_schema_input_type=Annotated[float, Field(gt=0)] | Literal["none"] | None
    ),
]


class Computing:
    """What options say of how a rank computes."""

    dtype: DType
    cache_gib: float | None

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch's."""
        return torch_dtype(self.dtype)

    @property
    def budget(self) -> int | None:
        """`cache_gib` in bytes."""
        return None if self.cache_gib is None else int(self.cache_gib * 2.0**30)


def torch_dtype(precision: DType) -> torch.dtype:
    """A precision as torch's."""
    import torch

    dtype: torch.dtype = getattr(torch, str(precision))
    return dtype


def step_controller(
    tolerance: float | None, order: int | None, unit: ToleranceUnit, growth: float, spread: float
) -> Controller:
    """The step-size controller that a tolerance asks for. `order`: the power of h in the error
    estimate, None without one. `growth`: the largest factor from one step to the next. `spread`:
    (E|z − E[z]|²)^½ of the start density, in units of x."""
    from ..integrators import FixedStep, PIController

    if tolerance is None or order is None:
        return FixedStep(may_adapt=True)
    relative = unit is ToleranceUnit.DISPLACEMENT
    return PIController(
        tolerance, order, largest=growth, least_scale=_LEAST_SCALE * spread if relative else None
    )
