"""Start densities with independent groups of coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .blockwise import BlockDraw, Evaluated, block_draw, evaluated, one_block
from .densities import Density, Moments, check_part, jump_of, moments_of
from .matrices import dense


class Product:
    """λ(z) = Π_k λ_k(z_k), z = (z_1, z_2, …) in groups of consecutive coordinates."""

    def __init__(self, parts: Sequence[Density]) -> None:
        """`parts`: the densities λ_k, whose dimensions add up.

        Errors: `InputError` for no parts, or what is no density or known by samples."""
        if not parts:
            raise InputError("a product needs at least one density")
        for each in parts:
            check_part(each, "product")
        self.parts = list(parts)
        self.dimension = sum(part.dimension for part in self.parts)

    def __repr__(self) -> str:
        return f"Product({self.parts})"

    def _groups(self, z: Tensor) -> Sequence[Tensor]:
        return z.split([part.dimension for part in self.parts], 1)

    def sample(self, random: np.random.Generator, count: int) -> Tensor:
        return one_block(self, random, count)

    def block_draw(self, out: Tensor) -> BlockDraw:
        drawn = [torch.empty(*out.shape[:2], part.dimension, dtype=torch.float64)
                 for part in self.parts]  # fmt: skip
        draws = [block_draw(*each) for each in zip(self.parts, drawn, strict=True)]

        def take(random: np.random.Generator, block: int) -> None:
            for each in draws:
                each.take(random, block)

        def finish() -> None:
            for each in draws:
                each.finish()
            torch.cat(drawn, 2, out=out)

        return BlockDraw(take, finish)

    def log_density(self, z: Tensor) -> Tensor:
        pairs = zip(self.parts, self._groups(z), strict=True)
        return torch.stack([part.log_density(group) for part, group in pairs]).sum(0)

    def score(self, z: Tensor) -> Tensor:
        pairs = zip(self.parts, self._groups(z), strict=True)
        return torch.cat([part.score(group) for part, group in pairs], 1)

    def evaluated(self, z: Tensor) -> Evaluated:
        pairs = zip(self.parts, self._groups(z), strict=True)
        logs, scores = zip(*(evaluated(part, group) for part, group in pairs), strict=True)
        return torch.stack(logs).sum(0), torch.cat(scores, 1)

    def moments(self) -> Moments | None:
        known = [moments_of(part) for part in self.parts]
        found = [each for each in known if each is not None]
        if len(found) < len(known):
            return None
        sizes = [part.dimension for part in self.parts]
        blocks = [dense(C, d) for (_, C), d in zip(found, sizes, strict=True)]
        return torch.cat([mean for mean, _ in found]), torch.block_diag(*blocks)

    def jump(self) -> str | None:
        return next((jump for part in self.parts if (jump := jump_of(part)) is not None), None)
