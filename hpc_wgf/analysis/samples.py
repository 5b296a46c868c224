"""New samples of a stored run, as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..cloud import Cloud, joined


@dataclass(frozen=True)
class Samples:
    """n samples of ρ(t), in the precision of the run."""

    x: np.ndarray
    """(n, d)."""
    log_density: np.ndarray
    """log ρ(x), (n,); not-a-number where the map has folded, and where samples alone tell λ."""
    score: np.ndarray
    """∇ log ρ(x), (n, d); likewise."""
    z: np.ndarray
    """The samples of the start density whose images they are, (n, d)."""
    log_weight: np.ndarray
    """The logarithms of the importance weights w, (n,), with which E[a] is the mean of w a. They
    are 0: samples are drawn from the start density itself."""
    time: float
    """t."""
    seed: int
    """Of the samples."""
    folded: int = 0
    """At how many of them the map has folded."""

    @classmethod
    def of(cls, drawn: Iterable[tuple[Cloud, Cloud]], time: float, seed: int) -> Samples:
        """From chunks of samples and their images."""
        starts, images = zip(*drawn, strict=True)
        cloud = joined(images)
        folded = ~cloud.unfolded.cpu().numpy()
        log_density, score = cloud.log_density.cpu().numpy(), cloud.score.cpu().numpy()
        log_weight = np.zeros_like(log_density)
        if cloud.log_weight is not None:
            log_weight = cloud.log_weight.cpu().numpy()
        return cls(
            cloud.x.cpu().numpy(),
            np.where(folded, np.nan, log_density),
            np.where(folded[:, None], np.nan, score),
            joined(starts).x.cpu().numpy(),
            log_weight, time, seed, int(folded.sum()),
        )  # fmt: skip

    @property
    def weight(self) -> np.ndarray:
        """w, (n,)."""
        return np.exp(self.log_weight)
