"""Reports on a run: a summary of its figures for machines and people."""

from .summary import Summary
from .table import print_summary, warnings_of

__all__ = ["Summary", "print_summary", "warnings_of"]
