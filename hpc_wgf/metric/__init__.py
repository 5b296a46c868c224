"""The pullback metric Ĝ as a linear operator, and preconditioners that know its samples."""

from .choice import Built, Preconditioning, build, fitting, wanted_samples
from .gram import GramOperator
from .preconditioner import Preconditioner
from .rows import JacobianRows
from .subsample import Subsample

__all__ = [
    "Built",
    "GramOperator",
    "JacobianRows",
    "Preconditioner",
    "Preconditioning",
    "Subsample",
    "build",
    "fitting",
    "wanted_samples",
]
