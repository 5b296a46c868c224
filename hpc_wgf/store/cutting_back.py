"""What is taken away from a store before a run goes on in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .checkpoint import CHECKPOINT, Checkpoint
from .damage import UNREADABLE, damaged, in_one_line
from .documents import array_document
from .lock import StoreLock
from .metadata import StoreMetadata
from .opening import committed, open_run
from .rows import array_at


def forget_checkpoint(path: Path) -> None:
    """Take the checkpoint of the run at `path` away, whatever it is: the run goes on from its last
    committed row. Errors: `InputError` where the store is damaged, in use or cannot be written."""
    stored = open_run(path)
    stored.check_resumable()
    try:
        lock = StoreLock(stored.path)
        try:
            committed(stored.path).with_attributes({CHECKPOINT: ""}).publish(stored.path)
            Checkpoint.remove(stored.path)
        finally:
            lock.release()
    except OSError as error:
        raise InputError(f"cannot write to the store {path}: {error.strerror}") from error


def cut_back(path: Path, rows: int, attributes: Mapping[str, Any]) -> StoreMetadata:
    """Take away what a killed process has left beyond the committed rows. Returns the store's
    metadata, with `attributes` in place of those of the same name. Errors: `InputError`,
    `OSError`."""
    stored = open_run(path)
    stored.check_resumable()
    if stored.rows != rows:
        raise InputError(f"{path} grew while it was being opened: resume it again")
    for name, document in stored.documents.items():
        try:
            found = array_document(path, name, document)
        except UNREADABLE as error:
            what = f"the metadata of {name} cannot be relied on: {in_one_line(error)}"
            raise damaged(path, what) from error
        if found["shape"] != document["shape"]:
            array_at(path, name, found).resize(tuple(document["shape"]))
    metadata = committed(path).with_attributes(attributes)
    metadata.publish(path)
    return metadata
