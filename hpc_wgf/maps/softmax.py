"""Softmax gates: T(x) = x + A x + a + Σ_s Σ_k γ_sk(x) u_sk, one motion near every mode of a
mixture, with the gates γ_sk of `gates`: those of the target's modes, and those of clusters of the
samples that are moved.

The force of a Gaussian mixture of equal covariances at a Gaussian density lies in the span of the
gates of its components with r = 1/σ², x and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import InputError
from .clusters import clusters_of
from .feature_map import FeatureMap
from .frame import Frame
from .gates import Gates

_SCALES = 3
_WIDEST = 0.25  # the last scale, of samples that are not wider than two deviations of a mode
_REACH = 0.5  # the last scale over σ²/Var x, of wider ones
_PRESENT = (1.0, 0.25)  # the scales of gates of clusters


class SoftmaxGates(FeatureMap):
    """T(x) = x + A x + a + Σ_s Σ_k γ_sk(x) u_sk with gates γ_sk of K centres at several scales, and
    of P clusters of the samples that the map is laid out for, at two.

    The gates of a scale add up to 1: the last one's motion is that of the others and a, and it has
    no parameters. θ = (u, A, a), p = d (S (K − 1) + 2 (P − 1) + d + 1) for S scales.

    Errors: `InputError` for fewer than two centres or clusters, centres that are the same or whose
    dimension is another, or for a variance, a weight or a scale that is not positive.
    """

    damping = 1e-4  # of the mass: between modes there may be less, and none of the samples

    target: Gates | None
    """Gates of the centres given."""
    present: Gates | None
    """Gates of the clusters."""

    def __init__(
        self,
        dimension: int,
        centres: Sequence[Sequence[float]] | Tensor | None = None,
        *,
        variance: float | None = None,
        weights: Sequence[float] | Tensor | None = None,
        scales: Sequence[float] | None = None,
        present: int | None = None,
    ) -> None:
        """`centres`: μ_k, (K, d); None for clusters alone. `variance`: σ² of a mode, in units of
        x², for them. `weights`: shares of the modes up to a factor, (K,), equal by default.
        `scales`: s; by default three, a factor apart, from 1 to ¼ or, where that is smaller, to
        half of σ² over the variance of the samples that the map is laid out for. `present`: P, 0
        for no clusters; by default as many as there are centres."""
        families: list[Gates] = []
        if centres is not None:
            points = _points(centres, dimension)
            rates = _rates(variance, scales)
            families.append(Gates(points, rates, _log_weights(weights, len(points))))
        clusters = _clusters(present, families)
        if clusters:
            families.append(_unplaced(clusters, dimension))
        self._make(dimension, families, of_target=centres is not None)
        self._variance = None if scales is not None else variance
        if clusters:
            self._place_present(Frame.unit(dimension))

    def _make(self, dimension: int, families: Sequence[Gates], *, of_target: bool) -> None:
        super().__init__(dimension, sum(len(each) for each in families))
        self.target = families[0] if of_target else None
        self.present = families[-1] if len(families) > of_target else None

    @property
    def gates(self) -> int:
        """The number of gates that have parameters."""
        return sum(len(each) for each in self._families())

    def lay_out(self, frame: Frame) -> None:
        if self.target is not None and self._variance is not None:
            spread = float(frame.deviations.square().mean())
            last = min(_WIDEST, _REACH * self._variance / spread)
            self.target.rates.copy_(_geometric(last) / self._variance)
        if self.present is not None:
            self._place_present(frame)

    def _place_present(self, frame: Frame) -> None:
        assert self.present is not None
        x = frame.points()
        found = clusters_of(x, len(self.present.centres))
        rates = torch.tensor(_PRESENT, dtype=torch.float64) / found.variance
        self.present.place(found.centres, rates, found.shares.clamp(min=1 / len(x)).log())

    def architecture(self) -> dict[str, Any]:
        families = {"target": self.target, "present": self.present}
        described = {name: each.description() for name, each in families.items() if each}
        return {"kind": "softmax", "dimension": self.dimension, **described}

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described, with the same gates to the bit."""
        names = [name for name in ("target", "present") if name in description]
        map = cls.__new__(cls)
        map._make(
            description["dimension"], [Gates.described(description[name]) for name in names],
            of_target="target" in names,
        )  # fmt: skip
        map._variance = None
        return map

    def _families(self) -> list[Gates]:
        return [each for each in (self.target, self.present) if each is not None]

    def values(self, z: Tensor) -> Tensor:
        return torch.cat([gates.values(z) for gates in self._families()])

    def slopes(self, z: Tensor, values: Tensor) -> Tensor:
        return torch.cat([gates.slopes(z, own) for gates, own in self._shared(values)])

    def curvature_times(self, z: Tensor, values: Tensor, w: Tensor) -> Tensor:
        total = torch.zeros_like(z)
        for (gates, own), along in zip(self._shared(values), self._split(w), strict=True):
            total = total + gates.curvature_times(z, own, along)
        return total

    def _shared(self, values: Tensor) -> list[tuple[Gates, Tensor]]:
        return list(zip(self._families(), self._split(values), strict=True))

    def _split(self, values: Tensor) -> tuple[Tensor, ...]:
        """By families, along the first axis."""
        return values.split([len(gates) for gates in self._families()])


def _geometric(last: float) -> Tensor:
    """1, …, last in equal factors, (S,) in float64."""
    return last ** torch.linspace(0, 1, _SCALES, dtype=torch.float64)


def _rates(variance: float | None, scales: Sequence[float] | None) -> Tensor:
    """s/σ². Errors: `InputError`."""
    if variance is None or not variance > 0:
        raise InputError(f"the variance of a mode must be positive, got {variance}")
    values = _geometric(_WIDEST) if scales is None else torch.as_tensor(scales, dtype=torch.float64)
    if values.ndim != 1 or not len(values) or not bool((values > 0).all()):
        raise InputError(f"the scales of gates must be positive numbers, got {values.tolist()}")
    return values / variance


def _log_weights(weights: Sequence[float] | Tensor | None, count: int) -> Tensor:
    """log w_k, (K,) in float64, 0 for equal ones. Errors: `InputError`."""
    given = torch.ones(count) if weights is None else weights
    values = torch.as_tensor(given, dtype=torch.float64)
    if values.shape != (count,) or not bool((values > 0).all()):
        raise InputError(
            f"{count} centres of gates need as many positive weights, got {values.tolist()}"
        )
    return (values / values.mean()).log()


def _points(centres: Sequence[Sequence[float]] | Tensor, dimension: int) -> Tensor:
    """(K, d) in float64. Errors: `InputError`."""
    try:
        points = torch.as_tensor(centres, dtype=torch.float64)
    except (TypeError, ValueError) as error:  # rows of several lengths
        raise InputError(f"the centres of gates form no table of numbers: {error}") from error
    if points.ndim != 2 or points.shape[1] != dimension:
        raise InputError(
            f"the centres of gates have shape {tuple(points.shape)}: expected a list of points "
            f"with {dimension} coordinates each"
        )
    different = len(points.unique(dim=0))
    if len(points) < 2 or different < len(points):
        raise InputError(
            f"softmax gates need at least two centres, all different, got {len(points)}, of which "
            f"{different} differ: give more, or take an affine map"
        )
    return points


def _clusters(present: int | None, families: Sequence[Gates]) -> int:
    """The number of clusters, for those asked for and the gates of the centres, if any. Errors:
    `InputError`."""
    count = sum(len(each.centres) for each in families) if present is None else present
    if count < 0 or count == 1:
        raise InputError(
            f"gates of clusters of the samples need at least two of them, or 0 for none, got "
            f"{count}"
        )
    if not (families or count):
        raise InputError("softmax gates need centres, or a number of clusters (present)")
    return count


def _unplaced(count: int, dimension: int) -> Gates:
    return Gates(torch.zeros(count, dimension), torch.tensor(_PRESENT), torch.zeros(count))
