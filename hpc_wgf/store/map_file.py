"""A map in a file of its own: its description as JSON and θ, in a NumPy archive without pickle.

Reading one builds a map of this package from plain data, and executes nothing that the file holds.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, RunError
from ..fields import local_path
from .damage import UNREADABLE, in_one_line
from .files import read_file

if TYPE_CHECKING:
    from ..maps import PushForward

_FORMAT = 1
_NAMES = ("format", "map", "theta")
_PRECISIONS = ("float64", "float32")


def save_map(map: PushForward, path: Path | str) -> None:
    """Write a map at its present parameters to a new file at `path`, for `load_map`: a NumPy
    archive (.npz) of `format`, `map`, the JSON that describes it, and `theta`, (p,).

    Errors: `InputError` where there is something at `path` already, and for a user's own map, which
    plain data cannot describe; `RunError` where the file cannot be written.
    """
    from ..maps import described_built_in

    path = local_path(path)
    written = io.BytesIO()
    arrays: dict[str, Any] = {
        "format": np.asarray(_FORMAT),
        "map": np.asarray(described_built_in(map)),
        "theta": map.get_theta().cpu().numpy(),
    }
    np.savez(written, **arrays)
    refuse_file(path)
    made = False
    try:
        with open(path, "xb") as file:
            made = True
            file.write(written.getbuffer())
    except OSError as error:
        if made:  # only what is ours is taken away
            path.unlink(missing_ok=True)
        raise RunError(f"cannot write the map to {path}: {error.strerror}") from error


def refuse_file(path: Path) -> None:
    """Errors: `InputError` where `save_map` could not make a file at `path`."""
    if os.path.lexists(path):
        raise InputError(f"{path} exists already, and is not overwritten: give another file")
    if not path.parent.is_dir():
        raise InputError(f"cannot write the map to {path}: there is no folder {path.parent}")


def load_map(path: Path | str) -> PushForward:
    """The map that `save_map` has written, the same to the bit: T(z) is `map(z)` for z (n, d) in
    its precision, log|det ∇T| and scores of the images are those of `map.transport`.

    Errors: `InputError` where there is no such file, or one that is damaged or something else.
    """
    import torch

    from ..maps import rebuilt

    path = local_path(path)
    arrays = _arrays(path)
    theta = arrays["theta"]
    try:
        if int(arrays["format"]) != _FORMAT:
            raise ValueError(f"its format is {arrays['format']}, this version reads {_FORMAT}")
        map = rebuilt(str(arrays["map"].item()))
        if theta.shape != (map.parameter_count(),):
            raise ValueError(
                f"it holds {theta.size} parameters for a map of {map.parameter_count()}"
            )
        if theta.dtype.name not in _PRECISIONS or not np.isfinite(theta).all():
            raise ValueError(f"its parameters are not finite numbers in {' or '.join(_PRECISIONS)}")
    except (*UNREADABLE, InputError, RecursionError) as error:
        raise _no_map(path, error) from error
    values = torch.from_numpy(theta)
    return map.to(values.dtype).at(values)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(read_file(path)), allow_pickle=False) as file:
            return {name: file[name] for name in _NAMES}
    except FileNotFoundError as error:
        raise InputError(f"no map at {path}: give a file that `save_map` wrote") from error
    except (*UNREADABLE, EOFError, zipfile.BadZipFile) as error:
        raise _no_map(path, error) from error


def _no_map(path: Path, error: BaseException) -> InputError:
    return InputError(
        f"no map can be read from {path}: {in_one_line(error)}. Give a file that `hpc-wgf "
        "consolidate` or `save_map` wrote"
    )
