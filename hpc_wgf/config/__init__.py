"""Run files: tables whose keys are checked and documented, and that build what they describe.

Nothing here imports torch before a table is built.
"""

from . import catalogue
from .catalogue import load
from .imports import imported_by
from .index import TABLES
from .parsing import parse
from .run import ProblemTable, RunFile
from .spec import RunSpec, build, load_problem, parse_stored

__all__ = [
    "TABLES",
    "ProblemTable",
    "RunFile",
    "RunSpec",
    "build",
    "catalogue",
    "imported_by",
    "load",
    "load_problem",
    "parse",
    "parse_stored",
]
