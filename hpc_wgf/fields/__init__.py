"""Types, units and error messages of the options of a method and of the keys of a run file.

Nothing here imports torch; paths and words do without pydantic too.
"""

from typing import TYPE_CHECKING

from ..names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .options import plain_errors
    from .paths import is_plain_text, local_path
    from .types import OPTIONS, Flag, Matrix, Number, Unit, Vector, Whole, unexpected
    from .words import explain, nearest, shown
else:
    __getattr__ = names_on_demand(__name__, ["paths", "words", "types", "options"])

__all__ = [
    "OPTIONS",
    "Flag",
    "Matrix",
    "Number",
    "Unit",
    "Vector",
    "Whole",
    "explain",
    "is_plain_text",
    "local_path",
    "nearest",
    "plain_errors",
    "shown",
    "unexpected",
]
