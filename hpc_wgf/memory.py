"""Main memory that this process can still take: of the machine, its control groups, its limits."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

GIVEN = "HPC_WGF_MEMORY_GIB"
"""Environment variable with the GiB that a rank may take, in place of what is found."""
_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Pool:
    """Memory that processes share."""

    name: str
    """The same for all processes that share it, on any machine, and for no others."""
    free: int
    """Bytes that may still be taken from it."""


def machine_memory() -> int:
    """Bytes of main memory that a process on this machine may take at most, by its control groups
    and limits too."""
    limits = [limit for limit, *_ in _groups()]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits])


def given_memory() -> int | None:
    """Bytes that a rank may take as HPC_WGF_MEMORY_GIB says; None where it is not set. Errors:
    `InputError` for what is no positive number."""
    given = os.environ.get(GIVEN)
    if given is None:
        return None
    try:
        gib = float(given)
    except ValueError:
        gib = 0.0
    if not gib > 0:
        raise InputError(
            f"environment variable {GIVEN}={given}: expected GiB that a rank may take, or inf"
        )
    return int(min(gib * 2**30, 2.0**62))


def pools() -> list[Pool]:
    """All that bounds what this process may still take."""
    here = socket.gethostname()
    found = [Pool(_machine() or here, _free_of_machine())]
    found += [
        Pool(f"{_machine()}:{here}:{path}", max(0, limit - used + reclaimable))
        for limit, used, reclaimable, path in _groups()
    ]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        taken = _kibibytes(_PROC / "self/status", "VmSize") or 0
        found.append(Pool(f"{here}:{os.getpid()}", max(0, soft - taken)))
    return found


def resident() -> int:
    """Bytes of main memory that this process holds; 0 where the system does not tell."""
    return _kibibytes(_PROC / "self/status", "VmRSS") or 0


def _machine() -> str | None:
    """What the containers of one machine have in common, whatever the names of their hosts."""
    return _text(_PROC / "sys/kernel/random/boot_id")


def _free_of_machine() -> int:
    available = _kibibytes(_PROC / "meminfo", "MemAvailable")
    return machine_memory() if available is None else available


def _groups() -> Iterator[tuple[int, int, int, str]]:
    """Of every control group of this process that has a bound: the bound, what is used of it, how
    much of that are copies of files, which make way, and the path of the group."""
    for line in (_text(_PROC / "self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            files = ("memory.max", "memory.current", ("active_file", "inactive_file"))
            yield from _bounded(_GROUPS, path, *files)
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes",
                     ("total_active_file", "total_inactive_file"))  # fmt: skip
            yield from _bounded(_GROUPS / "memory", path, *files)


def _bounded(
    root: Path, path: str, limit: str, usage: str, files: tuple[str, ...]
) -> Iterator[tuple[int, int, int, str]]:
    """The group at `path` below `root` and those above it, as far as this process sees them."""
    own = root / path.lstrip("/")
    for group in (own, *own.parents):
        if not group.is_relative_to(root):
            return
        bound, used = _number(group / limit), _number(group / usage)
        if bound is None or used is None or bound >= 1 << 62:  # none; version 1 has no word for it
            continue
        statistics = dict(
            line.split(maxsplit=1)
            for line in (_text(group / "memory.stat") or "").splitlines()
            if " " in line
        )
        yield bound, used, sum(int(statistics.get(name, 0)) for name in files), str(group)


def _number(path: Path) -> int | None:
    text = _text(path) or ""
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None


def _kibibytes(path: Path, name: str) -> int | None:
    """An entry in kB of a table under /proc, in bytes."""
    for line in (_text(path) or "").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
