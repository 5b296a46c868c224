"""The pullback metric Ĝ as a linear operator, and preconditioners that know its samples."""

from .choice import (
    PreconditionerBuild,
    Preconditioning,
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
    "Preconditioning",
    "Subsample",
    "build",
    "default_preconditioner",
    "subsample_size",
]
