"""Deep JKO: every step is the flow of a velocity network, trained and then frozen [DJKO]."""

from typing import TYPE_CHECKING

from ...names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .deep_jko import DeepJKO
    from .options import DeepJKOOptions
else:  # the options are a table of run files, which need no torch
    __getattr__ = names_on_demand(__name__, ["options", "deep_jko"])

__all__ = ["DeepJKO", "DeepJKOOptions"]
