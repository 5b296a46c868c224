"""Encodes and writes the files of chunks and shards as the Zarr v3 specification lays them out.

Zarr itself takes milliseconds of Python for every part of an array that is set; a row has ten of
them. The files are the same to the byte, and are read by Zarr alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Blosc
from numcodecs.checksum32 import CRC32C

from .files import check_no_link, new_file

_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
_SHARDING = "sharding_indexed"
_ABSENT = np.uint64(2**64 - 1)  # of a chunk that holds fill values alone

Encode = Callable[[np.ndarray], bytes]


class ChunkFiles:
    """Writes whole chunks, or whole shards, of one array of the store at `root`.

    `document`: of the array. Errors: `ValueError` for a layout that this version does not write;
    `OSError` of its methods.
    """

    def __init__(self, root: Path, name: str, document: Mapping[str, Any]) -> None:
        self._root, self._name = root, name
        self.dtype = np.dtype(document["data_type"])
        self.shape: tuple[int, ...] = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
        """Of a file's numbers."""
        codecs = document["codecs"]
        self._chunk: tuple[int, ...] = self.shape
        self._in_shards = codecs[0]["name"] == _SHARDING
        if self._in_shards:
            sharding = codecs[0]["configuration"]
            self._chunk, codecs = tuple(sharding["chunk_shape"]), sharding["codecs"]
        self._encode = _encoder(codecs)

    def write(self, place: Sequence[int], values: np.ndarray) -> None:
        """The file at a `place` of the grid. `values`: its numbers, fewer where the array ends
        within it; the others are the fill value, not-a-number. A file of these alone is none."""
        values = np.asarray(values, self.dtype)
        content = self._shard(values) if self._in_shards else [self._chunk_of(values) or b""]
        key = "/".join([self._name, "c", *map(str, place)])
        if any(content):
            _write(self._root, key, content)
        else:
            check_no_link(self._root, key)
            (self._root / key).unlink(missing_ok=True)

    def _chunk_of(self, values: np.ndarray) -> bytes | None:
        """Encoded; None for fill values alone."""
        if not values.size or (np.isnan(values.flat[0]) and np.isnan(values).all()):
            return None
        if values.shape != self._chunk:
            whole = np.full(self._chunk, np.nan, self.dtype)
            whole[tuple(map(slice, values.shape))] = values
            values = whole
        return self._encode(values)

    def _shard(self, values: np.ndarray) -> list[bytes]:
        """Chunks one after another along the one axis that is cut, and their index."""
        (axis,) = [k for k in range(values.ndim) if self.shape[k] > self._chunk[k]] or [0]
        length, count = self._chunk[axis], self.shape[axis] // self._chunk[axis]
        index, parts, offset = np.full((count, 2), _ABSENT, "<u8"), [], 0
        for number in range(count):
            part = np.moveaxis(values, axis, 0)[number * length : (number + 1) * length]
            chunk = self._chunk_of(np.moveaxis(part, 0, axis)) if len(part) else None
            if chunk is not None:
                index[number] = offset, len(chunk)
                parts.append(chunk)
                offset += len(chunk)
        return [*parts, CRC32C(location="end").encode(index).tobytes()] if parts else []


def _encoder(codecs: Sequence[Mapping[str, Any]]) -> Encode:
    """Of little-endian bytes, perhaps compressed, with or without a checksum."""
    steps: list[Callable[[Any], Any]] = []
    for codec in codecs:
        given = dict(codec.get("configuration", {}))
        if codec["name"] == "bytes" and given.get("endian", "little") == "little":
            steps.append(_little_endian)
        elif codec["name"] == "blosc":
            given["shuffle"] = _SHUFFLES[given["shuffle"]]
            steps.append(Blosc(**given).encode)
        elif codec["name"] == "crc32c":
            steps.append(CRC32C(location="end").encode)
        else:
            raise ValueError(f"the codec {codec['name']} is not one that this version writes")
    return partial(_encoded, steps)


def _encoded(steps: Sequence[Callable[[Any], Any]], values: np.ndarray) -> bytes:
    found: Any = values
    for step in steps:
        found = step(found)
    return bytes(found)


def _little_endian(values: np.ndarray) -> np.ndarray:
    """In order, as bytes."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


def _write(root: Path, key: str, content: Sequence[bytes]) -> None:
    """A file in place of the one before in an atomic rename. The folders between `root`, which must
    be there, and it are made."""
    check_no_link(root, key)
    folder = root
    *folders, name = key.split("/")
    for each in folders:
        folder = folder / each
        with suppress(FileExistsError):
            os.mkdir(folder)
    part = folder / f"{name}.part"
    try:
        with new_file(part) as file:
            file.writelines(content)
        part.replace(folder / name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
