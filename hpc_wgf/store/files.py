"""The files of a store as they are met on a disk that others write to as well.

What is read is a regular file: a pipe would let the reader wait for ever. What is written is a new
file in the store's own folders: a symbolic link would lead out of them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFLNK: "a symbolic link",
    stat.S_IFREG: "a file",
}  # fmt: skip


def kind_of(mode: int) -> str:
    """What a file of that `st_mode` is, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "no file")


def read_file(path: Path) -> bytes:
    """All of a regular file. Errors: `OSError`, also for what is no regular file."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        _check_regular(path, os.fstat(file).st_mode)
        return opened.read()


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file at `path`, in place of one that a killed process has left there. Errors:
    `OSError`."""
    path.unlink(missing_ok=True)  # of a link the link itself
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        yield file


class PlainFiles(LocalStore):
    """Zarr's store of files, which reads regular files alone and writes through no link."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        self._check_readable(key)
        return await super().get(key, prototype, byte_range)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        self._check_readable(key)
        return super().get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        wanted = list(key_ranges)
        for key, _ in wanted:
            self._check_readable(key)
        return await super().get_partial_values(prototype, wanted)

    async def set(self, key: str, value: Buffer) -> None:
        check_no_link(self.root, key)
        await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        check_no_link(self.root, key)
        await super().set_if_not_exists(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        check_no_link(self.root, key)
        super().set_sync(key, value)

    async def delete(self, key: str) -> None:
        check_no_link(self.root, key)
        await super().delete(key)

    def _check_readable(self, key: str) -> None:
        path = self.root / key
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return  # as missing, which Zarr answers with the fill value
        _check_regular(path, mode)


def check_no_link(root: Path, key: str) -> None:
    """Errors: `OSError` where one of the folders below `root` that lead to `key`, or what is there
    itself, is a symbolic link. `root` may be one."""
    path = root
    for name in key.split("/"):
        path = path / name
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISLNK(mode):
            what = "it is a symbolic link, through which nothing is written"
            raise OSError(errno.ELOOP, what, str(path))


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {kind_of(mode)}, a regular file is expected", str(path))
