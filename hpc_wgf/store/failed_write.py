"""What a run says that cannot write to its store."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import RunError


def gone(path: Path) -> str:
    """Of a store that is not there any more."""
    return (
        f"the store {path} is gone: it was moved or deleted while the run was writing to it. Where "
        "it was moved, its committed rows are intact: resume it there"
    )


class FailedWrite:
    """A context in which a failed write says which store, and that what was committed stays.

    Errors: `RunError` in place of `OSError` and `ValueError`."""

    def __init__(self, path: Path, part: str = "a row") -> None:
        self._path, self._part = path, part

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not os.path.lexists(self._path):
            raise RunError(gone(self._path)) from error
        if isinstance(error, OSError | ValueError):
            raise RunError(
                f"cannot write {self._part} to {self._path}: {error}. All committed rows are "
                f"intact; when the cause is mended: hpc-wgf resume {self._path}"
            ) from error
