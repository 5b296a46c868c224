"""Krylov solvers on plain vectors: they know neither ranks nor maps."""

from .minres import MinresStats, Status, check_rtol, minres
from .operator import DenseOperator, LinearOperator

__all__ = ["DenseOperator", "LinearOperator", "MinresStats", "Status", "check_rtol", "minres"]
