"""The maps of a stored run at any time, back from their images, and the densities that they push
forward."""

from .between_rows import Interval, PathMap, map_at_row, map_between
from .map_at import MapAt, Points
from .preimage import Preimage
from .stored_density import StoredDensity, check_start
from .stored_maps import map_of_row, map_state
from .stored_path import StoredPath

__all__ = [
    "Interval",
    "MapAt",
    "PathMap",
    "Points",
    "Preimage",
    "StoredDensity",
    "StoredPath",
    "check_start",
    "map_at_row",
    "map_between",
    "map_of_row",
    "map_state",
]
