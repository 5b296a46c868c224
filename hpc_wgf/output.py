"""What is kept of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import InputError


@dataclass(frozen=True)
class Output:
    path: Path | str | None = None
    every: float | None = None
    particles: int | None = None
    shards: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "particles", "shards"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"output.{name} must be positive, got {value}")
