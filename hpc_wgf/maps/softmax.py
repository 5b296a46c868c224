"""Softmax gates: T(x) = x + A x + a + Σ_s Σ_k γ_sk(x) u_sk, one motion near every mode of a
mixture.

    γ_sk = exp ℓ_sk / Σ_l exp ℓ_sl,   ℓ_sk = r_s (μ_k·x − ½|μ_k|²),   r_s = s/σ²,

is the probability that x belongs to centre μ_k if all have the covariance σ²/s · I. The force of a
Gaussian mixture of equal covariances at a Gaussian density lies in the span of the gates with
s = 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import InputError
from .feature_map import FeatureMap
from .frame import Frame

_SCALES = 3
_WIDEST = 0.25  # the last scale, of samples that are not wider than two deviations of a mode


class SoftmaxGates(FeatureMap):
    """T(x) = x + A x + a + Σ_s Σ_k γ_sk(x) u_sk with gates γ_sk of K centres at several scales.

    The gates of a scale add up to 1: the last one's motion is that of the others and a, and it has
    no parameters. θ = (u, A, a), p = d (S (K − 1) + d + 1) for S scales.

    Errors: `InputError` for fewer than two centres, centres that are the same or whose dimension is
    another, or for a variance or a scale that is not positive.
    """

    centres: Tensor
    """μ_k, (K, d), in units of x."""
    rates: Tensor
    """r_s = s/σ², (S,), in 1/x²."""

    def __init__(
        self,
        dimension: int,
        centres: Sequence[Sequence[float]] | Tensor,
        *,
        variance: float,
        scales: Sequence[float] | None = None,
    ) -> None:
        """`centres`: μ_k, (K, d). `variance`: σ² of a mode, in units of x². `scales`: s; by default
        three, a factor apart, from 1 to ¼ or, where that is smaller, to σ² over the variance of the
        samples that the map is laid out for."""
        given = _points(centres, dimension)
        rates = _rates(variance, scales)
        super().__init__(dimension, len(rates) * (len(given) - 1))
        self._variance = None if scales is not None else variance
        # In double precision, until the map is given that of a run.
        self.register_buffer("centres", given.clone())
        self.register_buffer("rates", rates)

    def lay_out(self, frame: Frame) -> None:
        if self._variance is not None:
            spread = float(frame.deviations.square().mean())
            last = min(_WIDEST, self._variance / spread)
            self.rates.copy_(_geometric(last) / self._variance)

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "softmax",
            "dimension": self.dimension,
            "centres": self.centres.tolist(),
            "rates": self.rates.tolist(),
        }

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any]) -> Self:
        """The map that `architecture` has described, with the same gates to the bit."""
        return cls(
            description["dimension"], description["centres"], variance=1.0,
            scales=description["rates"],
        )  # fmt: skip

    def _directions(self, z: Tensor) -> Tensor:
        """μ_k − μ_K, (K − 1, d)."""
        return (self.centres[:-1] - self.centres[-1]).to(z)

    def values(self, z: Tensor) -> Tensor:
        # About the centres' mean, so that no digits are lost where they lie far from 0.
        middle = self.centres.mean(0)
        centred = (self.centres - middle).to(z)
        logits = centred @ (z - middle.to(z)[:, None]) - 0.5 * centred.square().sum(1, True)
        gates = torch.softmax(self.rates.to(z)[:, None, None] * logits, 1)
        return gates[:, :-1].flatten(0, 1)

    def slopes(self, z: Tensor, values: Tensor) -> Tensor:
        """∇γ_sk = r_s γ_sk (μ_k − μ̄_s), μ̄_s = Σ_k γ_sk μ_k."""
        gates, mean = self._gates(z, values)
        offsets = self._directions(z)[None, :, :, None] - mean[:, None]
        scaled = self.rates.to(z)[:, None, None] * gates
        return (scaled[:, :, None] * offsets).flatten(0, 1)

    def curvature_times(self, z: Tensor, values: Tensor, w: Tensor) -> Tensor:
        """∇²γ_sk = r_s² γ_sk [(μ_k − μ̄_s)(μ_k − μ̄_s)ᵀ − Σ_l γ_sl (μ_l − μ̄_s)(μ_l − μ̄_s)ᵀ]."""
        gates, mean = self._gates(z, values)
        along = self._directions(z)
        weighted = gates[:, :, None] * w.view(*gates.shape[:2], *z.shape)
        total = weighted.sum(1)
        # γ_k (μ_k − μ̄)·w_k, less what the covariance of the centres takes of Σ_k γ_k w_k
        own = torch.einsum("kd,skdn->skn", along, weighted) - (mean[:, None] * weighted).sum(2)
        taken = gates * torch.einsum("kd,sdn->skn", along, total)
        pulled = torch.einsum("kd,skn->sdn", along, own - taken)
        by_mean = (mean * total).sum(1, True) - own.sum(1, True)
        squares = self.rates.to(z).square()[:, None, None]
        return (squares * (pulled + mean * by_mean)).sum(0)

    def _gates(self, z: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """γ_sk, (S, K − 1, n), and μ̄_s − μ_K, (S, d, n)."""
        gates = values.view(len(self.rates), len(self.centres) - 1, z.shape[1])
        return gates, torch.einsum("kd,skn->sdn", self._directions(z), gates)


def _geometric(last: float) -> Tensor:
    """1, …, last in equal factors, (S,) in float64."""
    return last ** torch.linspace(0, 1, _SCALES, dtype=torch.float64)


def _rates(variance: float, scales: Sequence[float] | None) -> Tensor:
    """s/σ². Errors: `InputError`."""
    if not variance > 0:
        raise InputError(f"the variance of a mode must be positive, got {variance}")
    values = _geometric(_WIDEST) if scales is None else torch.as_tensor(scales, dtype=torch.float64)
    if values.ndim != 1 or not len(values) or not bool((values > 0).all()):
        raise InputError(f"the scales of gates must be positive numbers, got {values.tolist()}")
    return values / variance


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
