"""The pages of the guide, and what fills their generated parts.

`hpc-wgf guide` shows the pages. `python -m hpc_wgf.guide`, in a checkout, writes anew what they
take from the tables of the run file and from the records under `data/`.
"""

from .pages import NAMES, page, summary_line, without_comments

__all__ = ["NAMES", "page", "summary_line", "without_comments"]
