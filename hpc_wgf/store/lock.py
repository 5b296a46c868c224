"""The lock of a store against a second writer."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ..errors import InputError
from .files import kind_of

_LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class StoreLock:
    """Held from its making to `release`; a killed process releases it by itself.

    A file is locked, open for writing, as NFS carries no lock of a folder to its server.
    Errors: `InputError` where another process has it or it is no regular file, `OSError` where it
    cannot be made.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._file = _opened(store / _LOCK)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                message = f"the file system of {store} has no locks: let nobody else write it"
                warnings.warn(message, stacklevel=2)
                return
            self._give_up(error)
        if not self._is_the_stores():  # removed by its owner, between our opening and locking
            self._give_up()

    def release(self) -> None:
        """Let others write."""
        with suppress(OSError):  # a file that stays harms nobody
            if self._is_the_stores():
                (self._store / _LOCK).unlink()
        os.close(self._file)

    def _is_the_stores(self) -> bool:
        """Whether the file that is locked is still the store's."""
        try:
            return os.path.samestat(os.fstat(self._file), os.lstat(self._store / _LOCK))
        except FileNotFoundError:
            return False

    def _give_up(self, cause: OSError | None = None) -> NoReturn:
        os.close(self._file)  # and the file stays: it is the lock of another
        raise InputError(
            f"{self._store} is being written by another process: wait for it or end it"
        ) from cause


def _opened(path: Path) -> int:
    """The lock's file, which a killed process may have left. What a link leads to is not opened,
    nor a pipe waited for."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(mode := os.lstat(path).st_mode):
            raise InputError(f"{path} is {kind_of(mode)}, not the lock of a run: take it away")
    return os.open(path, flags, 0o666)
