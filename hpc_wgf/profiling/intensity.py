"""Matrix products by their operations a byte, which decide what bounds them: arithmetic or memory
(the roofline of S. Williams, A. Waterman, D. Patterson, Commun. ACM 52 (2009) 65)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

_FINE = 4  # classes of intensity between one and twice as much


@dataclass(frozen=True)
class MatrixProducts:
    """Matrix products in classes of about one intensity each; a linear space."""

    classes: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """By ⌊4 log₂ intensity⌋ the floating-point operations, and the bytes of operands and results,
    each read or written once."""

    @classmethod
    def of(cls, flops: float, nbytes: float) -> Self:
        """One product of so many operations, which reads and writes so many bytes."""
        if flops <= 0 or nbytes <= 0:
            return cls()
        return cls({math.floor(_FINE * math.log2(flops / nbytes)): (flops, nbytes)})

    @property
    def flops(self) -> float:
        """Floating-point operations of all."""
        return sum((flops for flops, _ in self.classes.values()), 0.0)

    @property
    def nbytes(self) -> float:
        """Bytes of operands and results of all."""
        return sum((nbytes for _, nbytes in self.classes.values()), 0.0)

    def seconds(self, rate: float, bandwidth: float) -> float:
        """Σ max(operations/rate, bytes/bandwidth): `rate` in operations, `bandwidth` in bytes a
        second."""
        return sum(
            flops / rate if 2.0 ** ((k + 0.5) / _FINE) > rate / bandwidth else nbytes / bandwidth
            for k, (flops, nbytes) in self.classes.items()
        )

    def __add__(self, other: MatrixProducts) -> MatrixProducts:
        merged = dict(self.classes)
        for k, (flops, nbytes) in other.classes.items():
            before = merged.get(k, (0.0, 0.0))
            merged[k] = before[0] + flops, before[1] + nbytes
        return MatrixProducts(merged)

    def __rmul__(self, factor: float) -> MatrixProducts:
        return MatrixProducts({
            k: (factor * flops, factor * nbytes) for k, (flops, nbytes) in self.classes.items()
        })  # fmt: skip
