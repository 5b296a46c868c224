"""Another process that may end without a word, seen from this one."""

from __future__ import annotations

import json
import os
import select
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Process:
    """Where a rank runs."""

    host: str
    """The name of its node."""
    number: int
    """That of the process there."""
    world: str
    """What processes have in common that can see each other; empty where that is not known."""

    @classmethod
    def own(cls) -> Self:
        """This process."""
        world = ""
        with suppress(OSError):  # Linux alone has these.
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            world = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
        return cls(socket.gethostname(), os.getpid(), world)

    @classmethod
    def read(cls, text: str) -> Self:
        """The inverse of `str`."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))


class Peer:
    """A process of this machine whose end the system tells at once, whatever has ended it; of
    another machine nothing is known. `process`: where it runs."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._died = False
        self._handle: int | None = None
        if process.world and process.world == Process.own().world:
            try:
                self._handle = os.pidfd_open(process.number)
            except ProcessLookupError:
                self._died = True
            except (OSError, AttributeError):  # An older system, or none that has it.
                return

    def has_ended(self) -> bool:
        """Whether it is known to have ended."""
        if self._handle is not None:
            waiting = select.poll()
            waiting.register(self._handle, select.POLLIN)
            self._died = bool(waiting.poll(0))
        return self._died

    def close(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
