"""Krylov solvers on plain vectors: they know neither ranks nor maps."""

from .lsmr import lsmr
from .minres import minres
from .operator import DenseOperator, LeastSquaresOperator, LinearOperator, SplitPreconditioner
from .stats import EarlyStopping, SolveStats, Status, check_rtol

__all__ = [
    "DenseOperator",
    "EarlyStopping",
    "LeastSquaresOperator",
    "LinearOperator",
    "SolveStats",
    "SplitPreconditioner",
    "Status",
    "check_rtol",
    "lsmr",
    "minres",
]
