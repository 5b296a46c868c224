"""Parameterised Wasserstein gradient flow: θ' = −Ĝ(θ)† ∇F(θ) [PWGF (3.18), (3.21)]."""

from typing import TYPE_CHECKING

from ...names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .options import PWGFOptions
    from .pwgf import PWGF
else:  # the options are a table of run files, which need no torch
    __getattr__ = names_on_demand(__name__, ["options", "pwgf"])

__all__ = ["PWGF", "PWGFOptions"]
