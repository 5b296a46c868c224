"""Samples in a file or an array, (N, d): read in parts, and known again by a digest."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..fields import local_path
from ..kinds import shown

SampleSource = str | Path | np.ndarray | Tensor
"""Where samples are: the path of a file, or an array (N, d) itself."""

_WHOLE = 1 << 28  # bytes up to which all rows are looked at before a run,
_PIECES, _PIECE = 4096, 1 << 16  # else so many evenly spaced pieces of so many bytes


class SampleRows:
    """N rows of d numbers in .npy, .npz or Zarr, of which only what is asked for is read.

    An array in a .npy file, or uncompressed in a .npz file, is mapped into memory."""

    def __init__(self, source: SampleSource, dimension: int | None = None, *, array: str = ""):
        """`dimension`: the d that is wanted, by default that of the rows. `array`: which one, of
        several in a .npz file or a Zarr group.

        The rows are looked at once: all, or beyond 256 MiB 4096 evenly spaced pieces of 64 KiB.

        Errors: `InputError` where the source cannot be read, where it holds no numbers (N, d) or
        those of another dimension, and for rows with values that are not finite."""
        if isinstance(source, Tensor):
            source = source.detach().cpu().numpy()
        if not isinstance(source, str | Path | np.ndarray):
            raise InputError(
                f"{shown(source)} was given as samples: expected the path of a .npy, .npz or Zarr "
                "file, or an array (N, d)"
            )
        self.name = "an array" if isinstance(source, np.ndarray) else str(source)
        """What messages and descriptions call it."""
        if isinstance(source, np.ndarray) and array:
            raise _has_no_name("an array of Python", array)
        self._values: Any = source if isinstance(source, np.ndarray) else _opened(source, array)
        shape, kind = tuple(self._values.shape), np.dtype(self._values.dtype).kind
        if len(shape) not in (1, 2) or kind not in "fiu" or shape[1:] == (0,):
            raise InputError(
                f"{self.name} holds an array of shape {shape} and type {self._values.dtype}: "
                "expected real numbers of shape (N, d), a sample in every row"
            )
        self.count: int = shape[0]
        """N."""
        self.dimension: int = shape[1] if len(shape) == 2 else 1
        """d."""
        if dimension is not None and self.dimension != dimension:
            raise InputError(
                f"{self.name} holds samples of dimension {self.dimension}, shape {shape}, but the "
                f"problem has dimension {dimension}"
            )
        self.digest = self._looked_at()
        """A hash of the rows that were looked at, and of shape and type."""

    def __repr__(self) -> str:
        return f"{self.count} × {self.dimension} with digest {self.digest}"

    def read(self, rows: slice) -> Tensor:
        """Consecutive rows, (n, d) in float64. Errors: `InputError` for values that are not
        finite."""
        return self._checked(np.arange(rows.start, rows.stop), self._values[rows])

    def at(self, rows: np.ndarray) -> Tensor:
        """Rows by their numbers, which may repeat, (n, d) in float64. They are read in the order of
        the file. Errors: as for `read`."""
        order, place = np.unique(rows, return_inverse=True)
        from_memory = isinstance(self._values, np.ndarray)
        values = self._values[order] if from_memory else self._values.oindex[order]
        return self._checked(order, values)[torch.from_numpy(place)]

    def _checked(self, rows: np.ndarray, given: Any) -> Tensor:
        # A copy in native byte order, apart from the file.
        values = np.array(given, dtype=np.float64).reshape(len(rows), self.dimension)
        known = np.isfinite(values).all(1)
        if not known.all():
            raise InputError(
                f"{self.name}: row {rows[np.argmin(known)]}, counted from 0, has a value that is "
                f"not finite, as have {int((~known).sum())} of {len(rows)} rows read: leave them "
                "out"
            )
        return torch.from_numpy(values)

    def _looked_at(self) -> str:
        digest = hashlib.sha256(repr((self._values.shape, str(self._values.dtype))).encode())
        for part in self._parts():
            digest.update(self.read(part).numpy().tobytes())
        return digest.hexdigest()[:16]

    def _parts(self) -> Iterator[slice]:
        row = 8 * self.dimension
        long = max(1, _PIECE // row)
        starts: Iterable[int] = range(0, self.count, long)
        if self.count * row > _WHOLE:
            starts = [k * (self.count - long) // (_PIECES - 1) for k in range(_PIECES)]
        return (slice(begin, min(begin + long, self.count)) for begin in starts)


def _opened(source: str | Path, array: str) -> Any:
    """The array in a file, whose rows are read where they are indexed."""
    path = local_path(source)
    try:
        if path.is_dir():
            return _in_zarr(path, array)
        if zipfile.is_zipfile(path):
            return _in_npz(path, array)
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no file of samples {path}") from error
    except Exception as error:  # Readers have errors of their own.
        said = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"cannot read samples from {path}: {said:.200}. Expected a "
            ".npy, .npz or Zarr array of numbers (N, d)"
        ) from error
    if array:
        raise _has_no_name(str(path), array)
    return values


def _has_no_name(holder: str, array: str) -> InputError:
    return InputError(f"{holder} is one array without a name: leave array = {array!r} out")


def _in_zarr(path: Path, array: str) -> Any:
    import zarr

    try:
        found = zarr.open(str(path), mode="r")
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is a directory that holds no Zarr array: expected a .npy, .npz or Zarr file "
            "of samples"
        ) from error
    if isinstance(found, zarr.Array):
        if array:
            raise _has_no_name(str(path), array)
        return found
    return found[_chosen(path, dict(found.arrays()), array)]


def _in_npz(path: Path, array: str) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        member = members[_chosen(path, members, array)]
        if member.compress_type != zipfile.ZIP_STORED:
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, by_columns, dtype = read_header(file)
            inside = file.tell()
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    with path.open("rb") as raw:  # The local header repeats the name, with other extra fields.
        raw.seek(member.header_offset + 26)
        name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
    offset = member.header_offset + 30 + name + extra + inside
    return np.memmap(
        path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if by_columns else "C"
    )


def _chosen(path: Path, arrays: Mapping[str, object], wanted: str) -> str:
    names = sorted(arrays)
    if wanted in arrays:
        return wanted
    if not wanted and len(names) == 1:
        return names[0]
    raise InputError(
        f"{path} holds the arrays {', '.join(names) or '(none)'}: say by array which of them are "
        "the samples" + (f", not {wanted!r}" if wanted else "")
    )
