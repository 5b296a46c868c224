"""Pictures that a notebook shows and a file takes, without a window and without pyplot: whatever
backend is chosen there stays chosen."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import InputError
from ..fields import local_path

# Draws into axes of matplotlib.
Panel = Callable[[Any], None]

_SIDE = 3.3  # inches of a panel
_DPI = 130


class Picture(Figure):
    """A figure of matplotlib, which a notebook shows as it is."""

    def _repr_png_(self) -> bytes:
        return self.png()

    def png(self, dpi: int = _DPI) -> bytes:
        """As a PNG file."""
        written = io.BytesIO()
        self.savefig(written, format="png", dpi=dpi)
        return written.getvalue()

    def save(self, path: Path | str) -> None:
        """Write to the file `path`, in the format of its ending (.png, .pdf, .svg).

        Errors: `InputError` where that cannot be done."""
        path = local_path(path)
        if path.is_dir():
            raise InputError(
                f"cannot draw to {path}, a folder: give a file that ends in .png or .pdf"
            )
        try:
            self.savefig(path, dpi=_DPI)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot draw to {path}: {error}") from error


def picture(
    panels: Sequence[Panel], title: str = "", *, columns: int | None = None, side: float = _SIDE
) -> Picture:
    """Panels side by side, in rows of `columns`."""
    columns = min(len(panels), columns or 4)
    rows = math.ceil(len(panels) / columns)
    figure = Picture(figsize=(side * columns, side * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        panel(figure.add_subplot(rows, columns, number + 1))
    if title:
        figure.suptitle(title, parse_math=False)
    return figure
