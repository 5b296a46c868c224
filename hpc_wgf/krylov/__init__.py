"""MINRES and LSMR for operators given by products with plain vectors; no ranks, no maps."""

from .lsmr import lsmr
from .minres import Iteration, minres
from .operator import DenseOperator, LeastSquaresOperator, LinearOperator, SplitPreconditioner
from .start import minres_from
from .stats import EarlyStopping, SolveStats, Status, check_rtol

__all__ = [
    "DenseOperator",
    "EarlyStopping",
    "Iteration",
    "LeastSquaresOperator",
    "LinearOperator",
    "SolveStats",
    "SplitPreconditioner",
    "Status",
    "check_rtol",
    "lsmr",
    "minres",
    "minres_from",
]
