"""A start density λ that is known by samples alone, as a file of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..kinds import check_kind, check_number, shown
from ..parallel import RandomStream
from .densities import Density, Moments, is_known, jump_of
from .fitted_mixture import FittedMixture
from .sample_rows import SampleRows, SampleSource

FEWEST = 64
"""The least samples that a file of them has to hold."""
_MOST_BLOCKS = 1 << 20  # whose order is held in memory
_BLOCK = 16  # rows, where there are enough of them
_FITTED = 16384  # rows to which a density is fitted
_COMPARED = 256  # blocks whose rows are compared
_ALIKE = 2.0  # Variance of the means of blocks over that of independent rows.


class SampleStart:
    """λ, known by N samples.

    They are taken in blocks of 16 neighbouring rows (fewer where N < 16 384), the blocks in random
    order. A share of the blocks is held out: the evaluation sample is drawn from it, and all
    other samples of a run from the rest, anew for every step, until all have been used; then again
    in the same order. No row occurs twice in a sample: one of more rows than there are is refused.

    Without a density, log λ and ∇ log λ are not known. Energies of position alone need neither. Of
    an entropy, β∫ρ log ρ − β∫λ log λ = −β E_λ[log det ∇T] and its gradient in θ can be had: the
    energy form of the gradient is needed, and F is given up to β∫λ log λ. `log_density` and `score`
    are then 0, as if relative to λ.
    """

    def __init__(
        self, source: SampleSource, dimension: int | None = None, *, array: str = "",
        density: Density | Literal["fitted"] | None = None, held_out: float = 0.25,
    ):  # fmt: skip
        """`source`, `dimension`, `array`: see `SampleRows`. `density`: that of the samples where it
        is known, or "fitted" for a mixture of Gaussians that is fitted to those that are not held
        out. `held_out`: share of the samples for the evaluation, above 0 and below 1.

        Errors: `InputError`, as for `SampleRows`, and for fewer than 64 samples."""
        self.rows = SampleRows(source, dimension, array=array)
        """The samples."""
        self.dimension = self.rows.dimension
        check_number(held_out, "the share of samples that are held out")
        if not 0 < held_out < 1:
            raise InputError(f"held_out must be above 0 and below 1, got {held_out}")
        count = self.rows.count
        if count < FEWEST:
            raise InputError(
                f"{self.rows.name} holds {count} samples: a start density takes at least {FEWEST}"
            )
        self.held_out = float(held_out)
        """Share of the samples for the evaluation."""
        # At least 1024 blocks where there are as many rows.
        self._size = max(1, min(_BLOCK, count // 1024), count // _MOST_BLOCKS)
        order = np.random.default_rng(0).permutation(count // self._size)
        held = min(max(1, round(held_out * len(order))), len(order) - 1)
        self._parts = order[:held], order[held:]
        self._orders: tuple[int | None, list[np.ndarray]] = (None, [])
        self.density = self._density(density)
        """That of the samples, None where it is not known."""

    def _density(self, given: object) -> Density | None:
        if given is None:
            return None
        if isinstance(given, str):
            if given != "fitted":
                raise InputError(f'density = {given!r}: expected "fitted", or a density')
            return FittedMixture(self._first(_FITTED))
        needs = ("dimension", "sample", "log_density", "score")
        check_kind(given, "density", needs, 'give "fitted", or one as Gaussian(dimension)')
        if not is_known(given) or isinstance(given, SampleStart):  # type: ignore[arg-type]
            raise InputError(
                f"{shown(given)} was given as the density of samples, but is itself known by "
                'samples: give Gaussian(…) or another density, or "fitted"'
            )
        density: Density = given  # type: ignore[assignment]
        if density.dimension != self.dimension:
            raise InputError(
                f"{self.rows.name} holds samples of dimension {self.dimension}, and their density "
                f"{shown(given)} has dimension {density.dimension}"
            )
        return density

    def __repr__(self) -> str:
        density = "fitted" if isinstance(self.density, FittedMixture) else self.density
        return f"SampleStart({self.rows!r}, held_out={self.held_out}, density={density})"

    @property
    def density_is_known(self) -> bool:
        """Whether log λ and ∇ log λ are known."""
        return self.density is not None

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        """Rows at random, which may repeat, none of which is held out."""
        numbers = random.integers(len(self._parts[1]) * self._size, size=count)
        return self.rows.at(self._numbers(self._parts[1], numbers))

    def ordered(
        self, span: slice, total: int, *, seed: int, stream: RandomStream, place: int
    ) -> Tensor:
        """Those with the numbers in `span` of a sample of `total`, (n, d): one row each.

        `seed`: of the order of blocks. `stream`: what the sample is for. `place`: where in that
        order it begins, counted from the begin again behind the end. Errors: `InputError` where
        there are fewer rows than `total`."""
        blocks = self._order(seed, stream)
        known = len(blocks) * self._size
        if total > known:
            raise self._too_few(total, known, stream)
        places = (place + np.arange(span.start, span.stop)) % known
        return self.rows.at(self._numbers(blocks, places))

    def _order(self, seed: int, stream: RandomStream) -> np.ndarray:
        """The blocks for a stream: those held out for the evaluation, all with these first for the
        analysis of a run, else the others."""
        if self._orders[0] != seed:
            random = np.random.default_rng(seed)
            self._orders = seed, [random.permutation(part) for part in self._parts]
        held, rest = self._orders[1]
        if stream is RandomStream.ANALYSIS:
            return np.concatenate([held, rest])
        return held if stream is RandomStream.EVALUATION else rest

    def _numbers(self, blocks: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The rows at places in the order of some blocks."""
        numbers: np.ndarray = blocks[places // self._size] * self._size + places % self._size
        return numbers

    def _too_few(self, total: int, known: int, stream: RandomStream) -> InputError:
        held = stream is RandomStream.EVALUATION
        remedy = "fewer method.samples, a smaller held_out share, or a larger file"
        if held:
            remedy = "fewer output.particles, a larger held_out share, or a larger file"
        if stream is RandomStream.ANALYSIS:
            remedy = "fewer"
        purpose = "are held out for the evaluation" if held else "are for this purpose"
        return InputError(
            f"{total} samples are asked for, and of the {self.rows.count} in {self.rows.name} "
            f"{known} {purpose}: take {remedy}"
        )

    def _first(self, count: int) -> Tensor:
        """Up to so many of the rows that are not held out, the same for all seeds."""
        blocks = self._parts[1]
        return self.rows.at(self._numbers(blocks, np.arange(min(count, len(blocks) * self._size))))

    def log_density(self, z: Tensor) -> Tensor:
        """log λ(z); 0 where it is not known."""
        return torch.zeros_like(z[:, 0]) if self.density is None else self.density.log_density(z)

    def score(self, z: Tensor) -> Tensor:
        """∇ log λ(z); 0 where it is not known."""
        return torch.zeros_like(z) if self.density is None else self.density.score(z)

    def jump(self) -> str | None:
        """That of the density, where it is known."""
        return None if self.density is None else jump_of(self.density)

    def learned(self) -> Sequence[Tensor]:
        """The numbers that have been fitted to the samples."""
        return self.density.numbers() if isinstance(self.density, FittedMixture) else ()

    def moments(self) -> Moments | None:
        """None: they are taken from the samples."""
        return None

    def notes(self) -> list[str]:
        """What is to be known of them before a run: how well a density fits, and whether rows that
        are neighbours are alike."""
        found = []
        if isinstance(self.density, FittedMixture):
            found.append(f"log λ and its score are those of {self.density.told()}")
        ratio = self._likeness()
        if ratio > _ALIKE:
            found.append(
                f"neighbouring rows of {self.rows.name} are alike: means over n of them, taken in "
                f"blocks of {self._size}, vary like those over n/{ratio:.2g}. Shuffle the rows"
            )
        return found

    def _likeness(self) -> float:
        """The variance of the means of blocks over that of as many independent rows, about 1 for
        rows in no order: the largest of all coordinates."""
        size, count = self._size, min(_COMPARED, len(self._parts[1]))
        if size == 1 or count < _COMPARED:
            return 1.0
        z = self._first(count * size).view(count, size, self.dimension)
        within = z.var(1).mean(0)
        return float((size * z.mean(1).var(0) / within.clamp(min=1e-300)).max())
