"""Run files: tables whose keys are checked and documented, and that build what they describe.

Nothing here imports torch before a table is built.
"""

from . import catalogue
from .catalogue import load
from .index import TABLES
from .parsing import parse
from .run import ProblemTable, RunFile
from .spec import RunSpec, build, load_problem

__all__ = [
    "TABLES",
    "ProblemTable",
    "RunFile",
    "RunSpec",
    "build",
    "catalogue",
    "load",
    "load_problem",
    "parse",
]
