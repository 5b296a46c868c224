"""Where the seconds of a run go: its parts, their boundaries, and what each has taken."""

from .account import Account, accounted, aside, counted, current, part, waiting
from .parts import ATTRIBUTE, FIGURES, Part, Spent, merged, plain, seconds_by_part

__all__ = [
    "ATTRIBUTE",
    "FIGURES",
    "Account",
    "Part",
    "Spent",
    "accounted",
    "aside",
    "counted",
    "current",
    "merged",
    "part",
    "plain",
    "seconds_by_part",
    "waiting",
]
