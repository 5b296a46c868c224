"""Damages of stored runs: what a disk, a copy, a stranger or a slip of the hand does to a store.

`damages(store)` lists them all, the same at every call: kinds of damage times the files of the
store. Each is applied to a copy.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpc_wgf.store.attributes import ARRAYS_DIGEST, sealed

_DOCUMENT = "zarr.json"
_FOREIGN = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2


@dataclass(frozen=True)
class Damage:
    """One damage of a store."""

    kind: str
    """What is done."""

    place: str
    """To which of the store's files or folders, or to which part of its metadata."""

    apply: Callable[[Path], None]
    """Does it to the store at a path."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.place}"


def rewrite(store: Path, change: Callable[[dict, dict], object], *, seal: bool = True) -> None:
    """Change the attributes and the arrays' documents of a store, with digests that fit or with
    those that were there."""
    document = json.loads((store / _DOCUMENT).read_text())
    attributes, arrays = document["attributes"], document["consolidated_metadata"]["metadata"]
    change(attributes, arrays)
    if seal:
        attributes.pop(ARRAYS_DIGEST, None)
        document["attributes"] = sealed(attributes, arrays)
    (store / _DOCUMENT).write_text(json.dumps(document))


def damages(store: Path) -> Iterator[Damage]:
    """All damages of the store at `store`, which has been stopped between two rows."""
    files = sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
    others = itertools.cycle(_INSTEAD.items())  # they are met in the same way at all files
    for file in files:
        for kind, change in [*_OF_FILES.items(), next(others)]:
            yield Damage(kind, file, partial(_to_file, change, file))
    folders = sorted(str(path.relative_to(store)) for path in store.iterdir() if path.is_dir())
    for folder in folders:
        yield Damage("missing", folder, partial(_remove, folder))
        yield Damage("a file in its place", folder, partial(_to_file, _foreign, folder))
    yield Damage("a file in its place", ".", lambda path: _foreign(_gone(path)))
    yield Damage("empty", ".", lambda path: _gone(path).mkdir())
    for kind, make in {"missing": _gone, **_INSTEAD}.items():
        if kind != "a folder":
            yield Damage(kind, ".", partial(_to_whole, make))
    yield from _of_metadata(folders)


def _to_file(change: Callable[[Path], object], file: str, store: Path) -> None:
    change(store / file)


def _to_whole(make: Callable[[Path], object], store: Path) -> None:
    make(_gone(store))


def _remove(name: str, store: Path) -> None:
    _gone(store / name)


def _gone(path: Path) -> Path:
    """The same path, where nothing is now."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return path


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(place: float, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x15
    path.write_bytes(data)


def _extended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 64)


def _foreign(path: Path) -> None:
    _gone(path).write_bytes(_FOREIGN)


def _loop(path: Path) -> None:
    _gone(path).symlink_to(path.name)


def _pipe(path: Path) -> None:
    os.mkfifo(_gone(path))


def _socket(path: Path) -> None:
    """Bound by its short name, as the system allows no long ones."""
    with socket.socket(socket.AF_UNIX) as server:
        short = os.open(_gone(path).parent, os.O_PATH)
        server.bind(f"/proc/self/fd/{short}/{path.name}")
        os.close(short)


def _folder(path: Path) -> None:
    _gone(path).mkdir()


def _json(text: str, path: Path) -> None:
    path.write_text(text)


_INSTEAD: dict[str, Callable[[Path], object]] = {
    "a symbolic link to itself": _loop, "a pipe": _pipe, "a socket": _socket, "a folder": _folder,
}  # fmt: skip
_OF_FILES: dict[str, Callable[[Path], object]] = {
    "missing": _gone,
    "truncated": _truncated,
    "empty": lambda path: path.write_bytes(b""),
    "flipped early": partial(_flipped, 0.2),
    "flipped late": partial(_flipped, 0.8),
    "foreign": _foreign,
    "extended": _extended,
    "unreadable": lambda path: path.chmod(0),
}


def _of_metadata(arrays: list[str]) -> Iterator[Damage]:
    """Of the group's document: what no digest covers, and what a hand has sealed again."""
    texts = {"[]": "[]", "null": "null", "a number": "7", "nested": "[" * 100_000,
             "another document": '{"zarr_format": 2}', "no UTF-8": "\ufffe"}  # fmt: skip
    for kind, text in texts.items():
        yield Damage(kind, _DOCUMENT, partial(_to_file, partial(_json, text), _DOCUMENT))
    for name in ("problem", "until", "versions", "layout", "objects", "configuration", "stages"):
        for seal in (False, True):
            yield _rewritten("attribute gone", name, lambda a, _, n=name: a.pop(n), seal)
            yield _rewritten("wrong type", name, lambda a, _, n=name: a.update({n: [1]}), seal)
    yield _rewritten("attributes gone", "all", lambda a, _: a.clear(), False)
    yield _rewritten(
        "wrong type", "schema_version", lambda a, _: a.update(schema_version="4"), True
    )
    for name in arrays:
        yield _rewritten("array gone", name, lambda _, d, n=name: d.pop(n), False)
        yield _rewritten("array gone", name, lambda _, d, n=name: d.pop(n), True)
        yield _rewritten("one entry more", name, partial(_longer, name), False)
        yield _rewritten("one entry more", name, partial(_longer, name), True)
        yield _rewritten("another type", name, partial(_other_type, name), False)
        yield _rewritten("no codecs", name, lambda _, d, n=name: d[n].update(codecs=[]), False)
    yield _rewritten("extra rows", "all arrays", _more_rows, True)


def _rewritten(kind: str, place: str, change: Callable[[dict, dict], object], seal: bool) -> Damage:
    kind += ", sealed again" if seal else ""
    return Damage(kind, f"{_DOCUMENT}, {place}", partial(rewrite, change=change, seal=seal))


def _longer(name: str, _: dict, arrays: dict) -> None:
    arrays[name]["shape"][0] += 1


def _other_type(name: str, _: dict, arrays: dict) -> None:
    arrays[name]["data_type"] = "float32" if "64" in arrays[name]["data_type"] else "float64"


def _more_rows(_: dict, arrays: dict) -> None:
    for array in arrays.values():
        if array["dimension_names"][0] == "time":
            array["shape"][0] += 1
