"""The spacing of a run's rows and the cut of its evaluation sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from ..choices import Codec
from ..ensemble import default_pieces
from ..errors import InputError
from ..methods.base import MethodOptions
from ..output import Output
from ..problems import Problem, no_error_bound
from ..store import default_shards


@dataclass(frozen=True)
class Layout:
    """What a store fixes once; a resumed run keeps it."""

    every: float
    """Time between rows."""
    particles: int
    """Size of the evaluation sample."""
    pieces: int
    """Consecutive pieces of the evaluation sample, at least, that ranks share."""
    shards: int
    """Files, about, of a row's particles."""
    bound: bool = False
    """Whether bound and estimate of the error are computed."""
    particles_every: int = 1
    """Rows of which one has particles."""
    particles_dtype: str | None = None
    """Precision of stored particles; None for that of the run."""
    round_bits: int | None = None
    """Bits of their mantissa that are kept; None for all."""
    codec: str = Codec.ZSTD.value
    """How they are compressed."""

    @classmethod
    def of(cls, problem: Problem, options: MethodOptions, output: Output, ranks: int) -> Self:
        """What `output` asks for, and what it leaves open: ten rows, as many particles as the
        method has samples, pieces that are worth a call or one for each of the `ranks`, shards
        that are worth a file.

        Errors: `InputError` where more bits are to be kept than particles have."""
        particles = output.particles or options.samples
        dtype = np.dtype(output.particles_dtype or str(options.torch_dtype).removeprefix("torch."))
        if output.round_bits is not None and output.round_bits >= (has := np.finfo(dtype).nmant):
            raise InputError(
                f"output.round_bits = {output.round_bits}: {dtype} has {has} bits of mantissa, "
                "give fewer, or leave it out to keep all"
            )
        row_bytes = particles * problem.dimension * dtype.itemsize
        return cls(
            every=output.every or (problem.until - problem.start_time) / 10,
            particles=particles,
            pieces=default_pieces(particles, ranks),
            shards=output.shards or default_shards(row_bytes),
            bound=output.bound and not no_error_bound(problem),
            particles_every=output.particles_every,
            particles_dtype=None
            if output.particles_dtype is None
            else output.particles_dtype.value,
            round_bits=output.round_bits,
            codec=output.codec.value,
        )

    @classmethod
    def stored(cls, attributes: Mapping[str, Any]) -> Self:
        """Of the attributes of a store."""
        return cls(**attributes["layout"])

    def as_attributes(self) -> dict[str, Any]:
        """What a store holds of it."""
        return asdict(self)
