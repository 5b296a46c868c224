"""A run that its ranks have no memory for is refused before any work, with what would fit."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
import torch
from processes import here

import hpc_wgf.planning.fit as fit
from hpc_wgf import InputError
from hpc_wgf.config import build, load
from hpc_wgf.memory import Pool
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.planning.devices import device_named
from hpc_wgf.planning.partition import Job
from hpc_wgf.solution import solve

GIB = 2**30
BASE = device_named("cpu").base


class ManyRanks(LocalCommunicator):
    """Rank 0 of ranks that know of their memory what they are told here."""

    def __init__(self, known: list) -> None:
        super().__init__()
        self.size, self.known = len(known), known

    def gather(self, item):
        return self.known if isinstance(item, fit._Own) else [item] * self.size


def own(*pools: tuple[str, float], held: float = 0.0, given: int | None = None):
    known = [Pool(name, round(free * GIB)) for name, free in pools]
    return fit._Own(known, round(held * GIB), given)


def test_ranks_share_what_is_free_on_their_node_and_what_they_hold():
    alone = fit._Own.shares([own(("a", 8), held=0.5)])
    assert alone == [8.5 * GIB]
    two = [own(("a", 8), held=0.25), own(("a", 7.5), held=0.25), own(("b", 2), held=0.0)]
    assert fit._Own.shares(two) == [4 * GIB, 4 * GIB, 2 * GIB]


def test_a_group_of_the_job_bounds_its_ranks_and_a_user_knows_best():
    grouped = [own(("a", 100), ("a:/job", 4)), own(("a", 100), ("a:/job", 4)), own(("a", 100))]
    assert fit._Own.shares(grouped)[:2] == [2 * GIB, 2 * GIB]
    assert fit._Own.shares([own(("a", 1), given=5 * GIB)]) == [5 * GIB]


def refused(*settings: str, name: str = "ou-2d", communicator=None) -> str:
    run_file = load(name, settings)
    begun = time.monotonic()
    with pytest.raises(InputError) as error:
        solve(*build(run_file), run_file.output, communicator=communicator)
    assert time.monotonic() - begun < 30
    assert "\n" not in str(error.value)
    return str(error.value)


def largest(message: str) -> int:
    found = re.search(r"the largest method.samples that fits is ([\d,]+);", message)
    assert found is not None, message
    return int(found[1].replace(",", ""))


def room_for(samples: int) -> tuple[fit.Room, float]:
    """The plan of `ou-2d`, and what a rank holds by it."""
    run_file = load("ou-2d", [f"method.samples={samples}"])
    job = Job(*build(run_file), run_file.output)
    room = fit._planned(job, device_named("cpu"), GIB)
    return room, room.peak(room.partition(job, 1), 1.0).total


@pytest.mark.parametrize("samples", [3 * 10**9, 10**11])
def test_a_run_far_too_large_is_refused_before_a_sample_is_drawn(monkeypatch, samples):
    """The first drew samples for two minutes, the second was killed."""
    room_for(100)  # The first plan leaves modules of torch in the process, which count.
    monkeypatch.setenv("HPC_WGF_MEMORY_GIB", "0.5")
    message = refused(f"method.samples={samples}")
    assert f"a run with {samples:,} samples needs at least" in message
    assert "there is 512 MiB" in message
    assert 'method.dtype = "float32"' in message
    _, planned = room_for(largest(message))
    assert 0.9 * 0.5 * GIB < planned < 1.03 * 0.5 * GIB


def test_the_same_n_on_more_ranks_fits_where_each_has_memory_of_its_own(monkeypatch):
    """And not where one of them has less: the smallest share decides for all."""
    settings, share = ["method.samples=4000000", "method.block=1000"], 1.5
    monkeypatch.delenv("HPC_WGF_MEMORY_GIB", raising=False)
    one = ManyRanks([own(("a", share))])
    four = [own((name, share)) for name in "abcd"]
    shared = [own(("a", share)) for _ in "abcd"]
    run_file = load("ou-2d", settings)
    problem, map, options = build(run_file)
    run = (problem, map, options, run_file.output)
    with pytest.raises(InputError, match="needs at least"):
        fit.check_memory(*run, one)
    fit.check_memory(*run, ManyRanks(four))
    for too_small in (shared, [*four[:3], own(("d", 0.2))]):
        with pytest.raises(InputError, match="for each of the 4 ranks"):
            fit.check_memory(*run, ManyRanks(too_small))


def test_parameters_and_evaluation_samples_count_too(monkeypatch):
    monkeypatch.setenv("HPC_WGF_MEMORY_GIB", "0.5")
    message = refused('map=[{kind="block",width=2000000}]')
    assert "most for vectors of the map's θ" in message
    assert "no n fits" in message
    message = refused("output.particles=100000000")
    assert "most for output.particles" in message
    assert "fewer output.particles" in message


def test_the_generous_bound_is_one():
    """By which most runs are let through without a plan."""
    for name in ("porous-5d", "ou-2d", "gmm-two-moons"):
        run_file = load(name, [])
        job = Job(*build(run_file), run_file.output)
        cpu = device_named("cpu")
        room = fit._planned(job, cpu, GIB)
        for samples in (4000, 10**6, 10**8):
            sized = job.of_samples(samples)
            partition = room.partition(sized, 1)
            chunks = partition.step.chunk + partition.evaluation.chunk
            least = fit._least(job.problem, job.map, job.options, job.output, cpu, 1)(samples)
            planned = room.peak(partition, 1.0).total - (room.device.base - BASE)
            assert least < planned < fit._most(sized, chunks, cpu, 1)


def test_a_run_that_fits_is_not_planned(monkeypatch):
    monkeypatch.delenv("HPC_WGF_MEMORY_GIB", raising=False)
    monkeypatch.setattr(fit, "_planned", lambda *_: pytest.fail("a plan was made"))
    run_file = load("ou-2d", ["problem.until=0.05", "method.samples=200"])
    run = (*build(run_file), run_file.output)
    roomy = ManyRanks([own(("a", 8))])
    fit.check_memory(*run, roomy)
    begun = time.perf_counter()
    fit.check_memory(*run, roomy)
    assert time.perf_counter() - begun < 0.2


def test_resume_is_refused_too_and_the_check_can_be_left_out(tmp_path, monkeypatch):
    store = tmp_path / "run"
    small = ["--set", "problem.until=0.04", "--set", "method.step=0.02", "--set",
             "method.samples=100"]  # fmt: skip
    assert here("run", "ou-2d", *small, "--out", store).returncode == 0
    monkeypatch.setenv("HPC_WGF_MEMORY_GIB", "0.1")
    done = here("resume", store, "--until", "0.08")
    assert done.returncode == 2
    assert done.stderr.startswith("error: a run with 100 samples needs at least")
    assert not (tmp_path / "other").exists()
    done = here("run", "ou-2d", *small, "--out", tmp_path / "other")
    assert done.returncode == 2
    assert not (tmp_path / "other").exists()
    run_file = load("ou-2d", ["problem.until=0.04", "method.step=0.02", "method.samples=100"])
    found = solve(*build(run_file), replace(run_file.output), memory_check=False)
    assert torch.isfinite(found.map.get_theta()).all()


@pytest.mark.parametrize("given", ["", "much", "0", "-1", "nan"])
def test_memory_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv("HPC_WGF_MEMORY_GIB", given)
    assert f"HPC_WGF_MEMORY_GIB={given}: expected GiB" in refused()
