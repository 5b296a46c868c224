"""The lock of a store against a second writer."""

from __future__ import annotations

import errno
import fcntl
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ..errors import InputError

_LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class StoreLock:
    """Held from its making to `release`; a killed process releases it by itself.

    A file is locked, open for writing, as NFS carries no lock of a folder to its server.
    Errors: `InputError` where another process has it, `OSError` where it cannot be made.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._file = os.open(store / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
            return os.path.samestat(os.fstat(self._file), os.stat(self._store / _LOCK))
        except FileNotFoundError:
            return False

    def _give_up(self, cause: OSError | None = None) -> NoReturn:
        os.close(self._file)  # and the file stays: it is the lock of another
        raise InputError(
            f"{self._store} is being written by another process: wait for it or end it"
        ) from cause
