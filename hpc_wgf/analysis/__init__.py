"""What can be learnt from a stored run: its maps, new samples, the judge's figures anew."""

from .trajectory import Trajectory

__all__ = ["Trajectory"]
