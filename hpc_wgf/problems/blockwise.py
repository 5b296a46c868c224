"""Start densities block by block: all that is drawn for many blocks of samples is transformed at
once, and log λ and ∇ log λ are found together, in place.

Both give the bits of `sample`, `log_density` and `score`. A density of one's own has only these;
those of this package have also

- `block_draw(out)`: a `BlockDraw` of as many blocks as `out` has, (blocks, n, d) in float64 on the
  CPU, contiguous;
- `evaluated(z)`: log λ, (n,), and ∇ log λ, (n, d), at points z that nobody differentiates by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..kinds import shown

Evaluated = tuple[Tensor, Tensor]
"""log λ, (n,), and ∇ log λ, (n, d)."""


class SampledDensity(Protocol):
    """The part of a `Density` that is asked for here."""

    dimension: int
    """The dimension d."""

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        """`count` independent samples, (count, d) in float64 on the CPU. They must not be sorted,
        as random batches of interacting particles are taken from consecutive samples."""
        ...

    def log_density(self, z: Tensor) -> Tensor:
        """log λ(z), (n, d) → (n,)."""
        ...

    def score(self, z: Tensor) -> Tensor:
        """∇ log λ(z), (n, d) → (n, d)."""
        ...


@dataclass(frozen=True)
class BlockDraw:
    """How the samples of several blocks come about."""

    take: Callable[[np.random.Generator, int], Any]
    """Draws the random numbers of one block, by its place among the blocks, from its generator."""
    finish: Callable[[], None]
    """Makes samples of the numbers of all blocks."""


class DrawsBlockwise(Protocol):
    """A density with a `block_draw` of its own."""

    dimension: int

    def block_draw(self, out: Tensor) -> BlockDraw:
        """As the function of that name."""
        ...


def block_draw(density: SampledDensity, out: Tensor) -> BlockDraw:
    """That of a density which will fill `out`, (blocks, n, d)."""
    if _defines(density, "block_draw", "sample"):
        made: BlockDraw = density.block_draw(out)  # type: ignore[attr-defined]
        return made

    def take(random: np.random.Generator, block: int) -> None:
        out[block] = _checked(density, density.sample(random, out.shape[1]), out.shape[1:])

    return BlockDraw(take, lambda: None)


def _checked(density: SampledDensity, found: object, shape: torch.Size) -> Tensor:
    """Samples that a part of a density has given. Errors: `InputError` for others than (n, d)."""
    if not isinstance(found, Tensor) or found.shape != shape:
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(
            f"{shown(density)} gave samples as {given}: expected a tensor of shape {tuple(shape)}"
        )
    return found


def fill(density: SampledDensity, generators: Iterable[np.random.Generator], out: Tensor) -> Tensor:
    """Samples of consecutive blocks, each drawn from its own one of the `generators`, in `out`,
    (blocks, n, d) in float64 on the CPU, which is returned. A generator is asked before the next
    is taken."""
    draw = block_draw(density, out)
    for block, random in enumerate(generators):
        draw.take(random, block)
    draw.finish()
    return out


def one_block(density: DrawsBlockwise, random: np.random.Generator, count: int) -> Tensor:
    """`count` samples of a density that draws blockwise, (count, d): by its own `block_draw`,
    whatever a subclass, which may call its `sample`, has made of that."""
    out = torch.empty(1, count, density.dimension, dtype=torch.float64)
    draw = density.block_draw(out)
    draw.take(random, 0)
    draw.finish()
    return out[0]


def is_blockwise(density: SampledDensity) -> bool:
    """Whether a density draws blockwise; else `sample` may do with its generator as it likes."""
    if not _defines(density, "block_draw", "sample"):
        return False
    parts = [getattr(density, name, []) for name in ("components", "parts")]
    inner = [*chain(*parts), *([density.density] if hasattr(density, "density") else [])]
    return all(map(is_blockwise, inner))


def evaluated(density: SampledDensity, z: Tensor) -> Evaluated:
    """log λ and ∇ log λ at z, (n, d)."""
    if not z.requires_grad and _defines(density, "evaluated", "log_density", "score"):
        found: Evaluated = density.evaluated(z)  # type: ignore[attr-defined]
        return found
    return density.log_density(z), density.score(z)


def _defines(density: SampledDensity, wanted: str, *others: str) -> bool:
    """Whether a density has the method `wanted` from the class from which it has the `others`: a
    subclass may have changed these alone."""
    for names in (getattr(density, "__dict__", {}), *map(vars, type(density).__mro__)):
        if wanted in names:
            return True
        if any(other in names for other in others):
            return False
    return False
