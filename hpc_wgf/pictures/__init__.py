"""Pictures of a run: samples with level sets of their densities, and figures over time."""

from .axes import LARGEST, Axes, chosen_axes, parsed_axes
from .figure import Panel, Picture, picture
from .kinds import IN_SPACE, KINDS, OVER_TIME, drawn, frames, movie
from .overview import draw, overview
from .subject import Subject

__all__ = [
    "IN_SPACE",
    "KINDS",
    "LARGEST",
    "OVER_TIME",
    "Axes",
    "Panel",
    "Picture",
    "Subject",
    "chosen_axes",
    "draw",
    "drawn",
    "frames",
    "movie",
    "overview",
    "parsed_axes",
    "picture",
]
