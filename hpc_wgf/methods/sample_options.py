"""Options that methods with steps of a fixed size have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field
from pydantic.dataclasses import dataclass

from ..choices import Precision, Proposal, Sampling, Stream
from ..fields import OPTIONS, Number, Unit, Whole, plain_errors
from .step_options import Computing, DType


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class FixedStepOptions(Computing):
    """Samples, steps and precision of a method whose steps have a fixed size.

    Errors: `InputError`, one line a wrong value.
    """

    samples: Annotated[Whole, Field(ge=1)] = 4000
    """Number n of samples in every step, of all ranks together."""
    step_size: Annotated[Number, Field(gt=0), Unit("time")] = Field(
        default=0.05,
        validation_alias=AliasChoices("step", "step_size"),
        serialization_alias="step",
    )
    """Time step."""
    dtype: DType = Precision.FLOAT64
    """Floating-point numbers of map and samples: "float64" or "float32". Sums over samples are in
    float64 always."""
    seed: Annotated[Whole, Field(ge=0)] = 0
    """Of all samples."""
    block: Annotated[Whole, Field(ge=1)] | None = None
    """Samples per numbered block, which one rank draws as a whole. Left out, a 1024th of the
    samples and at least 16."""
    cache_gib: Annotated[Number, Field(gt=0), Unit("GiB")] | None = None
    """What a rank may keep for products; what does not fit is computed anew. Left out, 2, on a GPU
    a quarter of its memory."""
    sampling: Sampling = Field(default=Sampling.RANDOM, kw_only=True)
    """How samples are drawn: "random", or "sobol" for scrambled Sobol points."""
    # Not in the description, in which stores tell of it only where it is "philox".
    stream: Stream = Field(default=Stream.NUMPY, kw_only=True, repr=False)
    """Random numbers of samples: "numpy", drawn on the host, or "philox", a counter-based stream
    that is the same on CPUs and GPUs, for starts with an inverse transform; on a GPU the faster."""
    proposal: Proposal = Field(default=Proposal.AUTOMATIC, kw_only=True)
    """Density from which samples are drawn: "auto", with importance weights where an internal
    energy meets a peaked start density, or "none" for the start density."""
