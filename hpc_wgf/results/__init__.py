"""Finished runs: a run as an object, new samples in files, comparisons, a page."""

from .distances import Distance
from .run import Run, open_run

__all__ = ["Distance", "Run", "open_run"]
