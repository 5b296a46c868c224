"""The pullback metric Ĝ as a linear operator, and its preconditioners, made from few samples."""

from .choice import (
    PreconditionerBuild,
    build,
    default_preconditioner,
    subsample_size,
)
from .gram import GramOperator
from .preconditioner import Preconditioner
from .rows import JacobianRows
from .subsample import Subsample

__all__ = [
    "GramOperator",
    "JacobianRows",
    "Preconditioner",
    "PreconditionerBuild",
    "Subsample",
    "build",
    "default_preconditioner",
    "subsample_size",
]
