"""Run files: tables that are checked, every key documented, and that build what they describe.

Nothing here needs torch before a table is built.
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
