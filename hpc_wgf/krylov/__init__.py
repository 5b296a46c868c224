"""Krylov solvers on plain vectors: they know neither ranks nor maps."""

from .lsmr import lsmr
from .minres import minres
from .operator import DenseOperator, LeastSquaresOperator, LinearOperator, SplitPreconditioner
from .stats import SolveStats, Status, Watched, check_rtol

__all__ = [
    "DenseOperator",
    "LeastSquaresOperator",
    "LinearOperator",
    "SolveStats",
    "SplitPreconditioner",
    "Status",
    "Watched",
    "check_rtol",
    "lsmr",
    "minres",
]
