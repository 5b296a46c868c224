"""Run files: tables whose keys are checked and documented, and that build what they describe.

Nothing here imports torch before a table is built.
"""

from . import catalogue
from .catalogue import load
from .default_map import default_map
from .imports import imported_by
from .index import TABLES
from .parsing import parse
from .run import ProblemTable, RunFile
from .spec import RunSpec, build, load_problem, map_of, parse_stored

__all__ = [
    "TABLES",
    "ProblemTable",
    "RunFile",
    "RunSpec",
    "build",
    "catalogue",
    "default_map",
    "imported_by",
    "load",
    "load_problem",
    "map_of",
    "parse",
    "parse_stored",
]
