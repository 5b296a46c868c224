"""What is kept of a run: an argument of `solve`, and the table `[output]` of a run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from .choices import Codec, Precision
from .fields import OPTIONS, Flag, Number, Unit, Whole, local_path, plain_errors, unexpected


def _path(value: Any) -> Path | None:
    if value is None:
        return None
    if isinstance(value, Path | str):
        return local_path(value)
    raise unexpected("a path")


@plain_errors
@dataclass(frozen=True, config=OPTIONS)
class Output:
    """What is kept of a run.

    Errors: `InputError`, one line a wrong value.
    """

    path: Annotated[Path | str | None, BeforeValidator(_path)] = Field(default=None, exclude=True)
    """The Zarr store to make; None keeps figures in memory only. Not a key of run files."""
    every: Annotated[Number, Field(gt=0), Unit("time")] | None = None
    """Time between stored rows; left out, a tenth of the run."""
    particles: Annotated[Whole, Field(ge=1)] | None = None
    """Samples of the fixed evaluation sample that is stored; left out, as many as the method's."""
    shards: Annotated[Whole, Field(ge=1)] | None = None
    """Files of a row's particles, about, each written by one rank. Left out, such of a mebibyte or
    more, 16 at most; ranks beyond them hand their samples to those that write."""
    particles_every: Annotated[Whole, Field(ge=1)] = Field(default=1, kw_only=True)
    """Rows of which one has particles and their log ρ, from the first on; the last always has. All
    rows have θ and figures."""
    particles_dtype: Precision | None = Field(default=None, kw_only=True)
    """Precision in which particles are stored; left out, that of the run."""
    round_bits: Annotated[Whole, Field(ge=1)] | None = Field(default=None, kw_only=True)
    """Bits of the mantissa to which stored particles are rounded, so that they compress better:
    their relative error is 2^−(round_bits + 1). Left out, all are kept."""
    codec: Codec = Field(default=Codec.ZSTD, kw_only=True)
    """How stored particles are compressed."""
    bound: Flag = Field(default=True, kw_only=True)
    """Whether a bound and an estimate of the error are computed along the run, which takes one more
    evaluation of the map a step."""
