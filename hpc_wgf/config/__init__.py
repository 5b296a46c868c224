"""Run files: tables whose keys are checked and documented, and that build what they describe.

Nothing here imports torch before a table is built, and what names the problems no table.
"""

from typing import TYPE_CHECKING

from ..names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .catalogue import load
    from .default_maps import default_map
    from .imports import imported_by
    from .index import TABLES
    from .parsing import parse
    from .run import ProblemTable, RunFile
    from .spec import RunSpec, build, load_problem, map_of, parse_stored
else:
    __getattr__ = names_on_demand(
        __name__, ["catalogue", "imports", "default_maps", "run", "index", "parsing", "spec"]
    )

__all__ = [
    "TABLES",
    "ProblemTable",
    "RunFile",
    "RunSpec",
    "build",
    "default_map",
    "imported_by",
    "load",
    "load_problem",
    "map_of",
    "parse",
    "parse_stored",
]
