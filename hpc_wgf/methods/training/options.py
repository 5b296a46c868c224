"""Options that methods with inner training have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from ...choices import Decay, Engine, Precision
from ...errors import InputError
from ...fields import OPTIONS, Number, Whole, plain_errors
from ..sample_options import FixedStepOptions


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class TrainingOptions(FixedStepOptions):
    """How the networks of a step are trained by Adam.

    Errors: `InputError`, one line a wrong value.
    """

    iterations: Annotated[Whole, Field(ge=1)] = Field(default=500, kw_only=True)
    """Iterations in every step."""
    learning_rate: Annotated[Number, Field(gt=0)] = Field(default=5e-3, kw_only=True)
    """Largest learning rate of Adam."""
    decay: Decay = Field(default=Decay.COSINE, kw_only=True)
    """The learning rate over the iterations of a step: "constant", "cosine", or "one-cycle"."""
    clip: Annotated[Number, Field(gt=0)] | None = Field(default=None, kw_only=True)
    """Largest norm of a gradient, beyond which it is scaled down. Left out, none is."""
    engine: Engine = Field(default=Engine.TORCH, kw_only=True)
    """What trains: "torch", the same to the bit on 1, 2, 4, … ranks, or "deepspeed", which shards
    the moments of Adam over the ranks (float32 only)."""
    zero_stage: Annotated[Whole, Field(ge=1, le=2)] = Field(default=1, kw_only=True)
    """Stage of DeepSpeed's ZeRO: 1 shards the moments, 2 the gradients too."""
    accumulation: Annotated[Whole, Field(ge=1)] = Field(default=1, kw_only=True)
    """Micro-batches in which DeepSpeed takes the samples of a rank, one after another."""

    def __post_init__(self) -> None:
        if self.engine is Engine.DEEPSPEED and self.dtype != Precision.FLOAT32:
            raise InputError(
                'method.engine = "deepspeed" trains in float32 only, as ZeRO keeps its masters in '
                f"it, and method.dtype is {self.dtype}: "
                'use method.dtype = "float32", or method.engine = "torch"'
            )
