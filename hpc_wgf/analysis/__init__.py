"""What can be learnt from a stored run: its maps, one in place of many, new samples, the judge's
figures anew."""

from .consolidation import Consolidated, consolidate
from .trajectory import Trajectory

__all__ = ["Consolidated", "Trajectory", "consolidate"]
