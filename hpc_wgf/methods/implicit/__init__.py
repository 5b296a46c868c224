"""Implicit steps: each stage is a proximal problem of the map, solved by Gauss–Newton."""

from typing import TYPE_CHECKING

from ...names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .implicit import Implicit
    from .options import ImplicitOptions
else:  # the options are a table of run files, which need no torch
    __getattr__ = names_on_demand(__name__, ["options", "implicit"])

__all__ = ["Implicit", "ImplicitOptions"]
