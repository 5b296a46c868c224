"""JKO steps by a game of two networks: a map, and the dual variable of the energy [VWGF]."""

from typing import TYPE_CHECKING

from ...names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .options import PrimalDualOptions
    from .primal_dual import PrimalDual
else:  # the options are a table of run files, which need no torch
    __getattr__ = names_on_demand(__name__, ["options", "primal_dual"])

__all__ = ["PrimalDual", "PrimalDualOptions"]
