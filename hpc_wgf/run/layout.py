"""The spacing of a run's rows and the cut of its evaluation sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..methods.base import MethodOptions
from ..output import Output
from ..problems import Problem


@dataclass(frozen=True)
class Layout:
    """What a store fixes once; a resumed run keeps it."""

    every: float
    """Time between rows."""
    particles: int
    """Size of the evaluation sample."""
    shards: int
    """Shards of its stored particles."""

    @classmethod
    def of(cls, problem: Problem, options: MethodOptions, output: Output, ranks: int) -> Self:
        """What `output` asks for, and what it leaves open: ten rows, as many particles as the
        method has samples, 16 shards or one for each of the `ranks`."""
        return cls(
            every=output.every or (problem.until - problem.start_time) / 10,
            particles=output.particles or options.samples,
            shards=output.shards or max(16, ranks),
        )

    @classmethod
    def stored(cls, attributes: Mapping[str, Any]) -> Self:
        """Of the attributes of a store."""
        return cls(**attributes["layout"])

    def as_attributes(self) -> dict[str, Any]:
        """What a store holds of it."""
        return asdict(self)
