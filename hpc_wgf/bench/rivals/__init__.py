"""Other ways to answer the question of a named problem, and how far off they are."""

from .table import PROBLEMS, RIVALS, rows

__all__ = ["PROBLEMS", "RIVALS", "rows"]
