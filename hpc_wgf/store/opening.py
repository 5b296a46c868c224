"""Opens a store: what is no store, or a damaged one, is refused in one line before it is read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import StorePath

from ..errors import InputError
from ..fields import local_path
from .attributes import NEEDED, broken_seal, decoded
from .checkpoint import CHECKPOINT
from .damage import UNREADABLE, Attributes, damaged, in_one_line
from .files import PlainFiles, kind_of, read_file
from .metadata import FILE, StoreMetadata
from .older import OLDER
from .reader import StoredRun
from .schema import ARRAYS, FURTHER, OF_SOME_RUNS, OLDEST_ARRAYS, SCHEMA_VERSION, STAGE

_GIVE = "give the folder that `hpc-wgf run` wrote"
# No digest protects them in older stores.
_KINDS = {**NEEDED, CHECKPOINT: (str,)}


def open_run(path: Path | str) -> StoredRun:
    """Open the store at `path` for reading.

    Errors: `InputError` where there is none, one that is damaged, or one of a schema that this
    version cannot read.
    """
    path = local_path(path)
    metadata = committed(path)
    try:
        store = StorePath(PlainFiles(path, read_only=True))
        group = zarr.Group(zarr.AsyncGroup.from_dict(store, metadata.document))
        attributes = Attributes(path, decoded(metadata.attributes))
    except UNREADABLE as error:
        raise damaged(path, f"its metadata cannot be read: {in_one_line(error)}") from error
    for name, kinds in _KINDS.items():
        if name in attributes and type(attributes[name]) not in kinds:
            raise damaged(path, f"its attribute {name} is {attributes[name]!r:.40}")
    return StoredRun(path, group, attributes, metadata.arrays)


def committed(path: Path) -> StoreMetadata:
    """The committed metadata of the store at `path`, as they were written.

    Errors: `InputError` as for `open_run`."""
    document = _document(path)
    attributes, arrays = _parts(path, document)
    if broken := _inconsistency(attributes, arrays):
        raise damaged(path, broken)
    return StoreMetadata(attributes, arrays)


def _document(path: Path) -> dict[str, Any]:
    """The group's document, whatever it says."""
    _check_folder(path)
    try:
        document = json.loads(read_file(path / FILE))
    except FileNotFoundError as error:
        if _holds_arrays(path):
            raise damaged(path, f"{FILE} is missing") from error
        raise InputError(f"no run in {path}: it has no {FILE}; {_GIVE}") from error
    except OSError as error:
        raise damaged(path, f"{FILE} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{FILE} is not JSON: {in_one_line(error)}") from error
    if not isinstance(document, dict) or document.get("zarr_format") != 3:
        raise damaged(path, f"{FILE} is not the document of a Zarr group of format 3")
    return document


def _check_folder(path: Path) -> None:
    if not os.path.lexists(path):
        raise InputError(f"no store at {path}: {_GIVE}")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise InputError(f"cannot read the store {path}: {error.strerror}; {_GIVE}") from error
    if not stat.S_ISDIR(mode):
        raise InputError(f"no store at {path}: it is {kind_of(mode)}; {_GIVE}")


def _holds_arrays(path: Path) -> bool:
    """Whether there is a folder of an array that every run has."""
    return any((path / name).is_dir() for name in OLDEST_ARRAYS)


def _parts(
    path: Path, document: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Attributes and documents of arrays, of a schema that is known."""
    attributes = document.get("attributes")
    version = attributes.get("schema_version") if isinstance(attributes, dict) else None
    if version is None:
        if _holds_arrays(path):
            raise damaged(path, "its attributes are gone")
        raise InputError(f"{path} is a Zarr group, but not one written by hpc-wgf: {_GIVE}")
    if type(version) is not int:
        raise damaged(path, f"its schema is {version!r:.40}, not a number")
    if version not in (SCHEMA_VERSION, *OLDER):
        raise InputError(
            f"{path} has store schema {version}, this version of hpc-wgf reads up to "
            f"{SCHEMA_VERSION}: use the version that wrote it"
        )
    consolidated = document.get("consolidated_metadata")
    arrays = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    if not isinstance(arrays, dict) or not all(isinstance(a, dict) for a in arrays.values()):
        raise damaged(path, f"{FILE} does not describe its arrays")
    assert isinstance(attributes, dict)
    return attributes, arrays


def _inconsistency(
    attributes: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """What is not as it was written, or does not fit together; None where all does."""
    old = attributes["schema_version"] in OLDER
    if not old and (broken := broken_seal(attributes, arrays)):
        return broken
    for name in OLDEST_ARRAYS if old else ARRAYS:
        needed = name not in OF_SOME_RUNS or name in str(attributes.get(FURTHER, ""))
        if needed and name not in arrays:
            return f"the array {name} is missing"
    lengths: dict[str, int] = {}
    for name, array in sorted(arrays.items(), key=lambda pair: (pair[0] != "time", pair[0])):
        for axis, found in _lengths(array):
            if type(found) is not int or found < 0:
                return f"the length of {name} along {axis} is {found!r:.40}"
            # How many stages there are is compared with their descriptions.
            if axis != STAGE and found != (expected := lengths.setdefault(axis, found)):
                return f"{name} has {found} entries along {axis}, {expected} expected"
    return None


def _lengths(array: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    names, shape = array.get("dimension_names"), array.get("shape")
    if isinstance(names, list) and isinstance(shape, list) and len(names) == len(shape):
        yield from ((str(name), length) for name, length in zip(names, shape, strict=True))
    elif array.get("node_type") == "array":
        yield "its axes", None
