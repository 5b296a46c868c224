"""Reports on a run: a summary of its figures for machines and people, and a picture."""

from .picture import draw
from .summary import Summary
from .table import print_summary

__all__ = ["Summary", "draw", "print_summary"]
