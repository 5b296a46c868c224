"""Main memory that a process may take: by its machine, its control groups and its limits."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from hpc_wgf import memory

GIB = 2**30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of files, with 8 GiB available."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    written(proc / "meminfo", "MemTotal: 1 kB\nMemAvailable: 8388608 kB\n")
    written(proc / "sys/kernel/random/boot_id", "machine\n")
    monkeypatch.setattr(memory, "_PROC", proc)
    monkeypatch.setattr(memory, "_GROUPS", groups)
    return proc, groups


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def free() -> list[float]:
    return [pool.free / GIB for pool in memory.pools()]


def test_without_groups_it_is_what_the_machine_has_available(system):
    assert [pool.name for pool in memory.pools()] == ["machine"]
    assert free() == [8.0]


def test_every_group_above_that_has_a_bound_counts(system):
    """A task's own group is free; that of its job has 3 of 4 GiB in use, one of them by files."""
    proc, groups = system
    written(proc / "self/cgroup", "0::/job/task_0\n")
    written(groups / "job/task_0/memory.max", "max\n")
    written(groups / "job/task_0/memory.current", "5\n")
    written(groups / "job/memory.max", f"{4 * GIB}\n")
    written(groups / "job/memory.current", f"{3 * GIB}\n")
    written(groups / "job/memory.stat", f"anon 7\nactive_file {GIB // 2}\ninactive_file {GIB // 2}")
    assert free() == [8.0, 2.0]
    assert memory.machine_memory() <= 4 * GIB


def test_groups_of_the_first_version_and_of_a_container_that_sees_only_its_own(system):
    proc, groups = system
    written(proc / "self/cgroup", "9:cpu:/a\n4:memory:/of/the/host\n")
    written(groups / "memory/memory.limit_in_bytes", f"{2 * GIB}")
    written(groups / "memory/memory.usage_in_bytes", f"{GIB}")
    assert free() == [8.0, 1.0]
    written(groups / "memory/memory.limit_in_bytes", "9223372036854771712")
    assert free() == [8.0]


def test_ulimit_bounds_a_process(system, monkeypatch):
    proc, _ = system
    written(proc / "self/status", "VmSize: 1048576 kB\nVmRSS: 524288 kB\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * GIB, -1))
    assert free() == [8.0, 2.0]
    assert memory.resident() == GIB // 2
