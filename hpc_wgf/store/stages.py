"""The stages of a run: one map after another moves, those before it stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

STAGES = "stages"


@dataclass(frozen=True)
class Stage:
    """A stage that begins: its map moves from here on."""

    map: str
    """The map in words."""

    begins: float
    """The time from which it moves."""

    theta: np.ndarray
    """(p,), its initial parameters."""

    def entry(self, row: int) -> dict[str, Any]:
        """As the attribute `stages` lists it; `row`: that with which it begins."""
        return {
            "map": self.map, "begins": self.begins, "row": row, "parameters": len(self.theta),
        }  # fmt: skip


@dataclass(frozen=True)
class StoredStage:
    """What a store says of one stage."""

    map: str
    """The map in words."""

    begins: float
    """The time from which it moved."""

    row: int
    """The row with which it begins. It is 0 for the first stage; for a later one it is the last row
    of the stage before, whose map was frozen there, so that its own first row is the next."""

    parameters: int
    """How many its map has; stored rows are padded beyond them."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> StoredStage:
        """From an entry of the attribute `stages`, which may say more. Errors: `KeyError`,
        `TypeError`."""
        return cls(entry["map"], entry["begins"], entry["row"], entry["parameters"])
