"""Fields of options and run files: their types, units, and errors in plain words. No torch."""

from .options import plain_errors
from .types import OPTIONS, Flag, Matrix, Number, Unit, Vector, Whole, unexpected
from .words import explain, nearest

__all__ = [
    "OPTIONS",
    "Flag",
    "Matrix",
    "Number",
    "Unit",
    "Vector",
    "Whole",
    "explain",
    "nearest",
    "plain_errors",
    "unexpected",
]
