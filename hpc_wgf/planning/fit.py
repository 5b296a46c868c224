"""The check, before any work, that a run fits in the memory of its ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ..choices import Preconditioning
from ..errors import InputError, StepFailed, WgfError
from ..maps import PushForward
from ..memory import GIVEN, Pool, given_memory, pools, resident
from ..methods.base import SampleOptions
from ..methods.pwgf import PWGFOptions
from ..output import Output
from ..parallel import Communicator, agreed
from ..problems import Problem
from .devices import Device, device_named
from .memory import budget
from .memory_model import MORE, memory_model
from .one_step import few_samples
from .partition import Job
from .room import Room
from .simulated_rank import SimulatedRank
from .table import amount

_Least = Callable[..., float]

_SLACK = 1 << 30  # Bytes for what does not grow with n, as checks and preconditioners, in a bound.
_TENSORS = 40  # (n, d) tensors in a generous bound: a step has about 12, an evaluation 6
_FEWEST = 5  # (n, d) tensors that any method holds: samples, scores and images
_VECTORS = 20  # vectors of length p that every run holds, at least


def check_memory(
    problem: Problem, map: PushForward, options: SampleOptions, output: Output,
    communicator: Communicator,
) -> None:  # fmt: skip
    """Refuse a run of which the plan says that a rank cannot hold it; collective.

    Where a generous bound fits, which is quickly taken, nothing is planned. What a method holds of
    which no plan is known is bounded from below.

    Errors: `InputError`, on all ranks alike, with the largest n that fits.
    """
    with agreed(communicator):
        own = _Own.found(communicator.device)
    available = min(own.shares(communicator.gather(own)))
    with agreed(communicator):
        _refuse(problem, map, options, output, communicator, available)


@dataclass(frozen=True)
class _Own:
    """What a rank knows of its memory."""

    pools: list[Pool]
    """All that bounds it."""
    held: int
    """Bytes of the plan that it holds already."""
    given: int | None
    """Bytes that it may take at all, where its user says so."""

    @classmethod
    def found(cls, device: torch.device) -> _Own:
        given = given_memory()
        if device.type != "cuda":
            return cls(pools(), min(resident(), device_named("cpu").base), given)
        free, _ = torch.cuda.mem_get_info(device)
        name = str(torch.cuda.get_device_properties(device).uuid)
        return cls([Pool(name, free)], torch.cuda.memory_reserved(device), given)

    @staticmethod
    def shares(everyone: list[_Own]) -> list[int]:
        """Bytes that each rank may take in all. Ranks share a pool in equal parts, of what is free
        there and what they hold already."""
        sharing: dict[str, list[tuple[int, int]]] = {}
        for own in everyone:
            for pool in own.pools:
                sharing.setdefault(pool.name, []).append((pool.free, own.held))

        def share(name: str) -> int:
            ranks = sharing[name]
            return (min(free for free, _ in ranks) + sum(held for _, held in ranks)) // len(ranks)

        return [
            min(share(pool.name) for pool in own.pools) if own.given is None else own.given
            for own in everyone
        ]


def _refuse(
    problem: Problem, map: PushForward, options: SampleOptions, output: Output,
    communicator: Communicator, available: int,
) -> None:  # fmt: skip
    """Errors: `InputError` where `available` bytes are too few for a rank."""
    ranks, device = communicator.size, _described(communicator.device)
    least = _least(problem, map, options, output, device, ranks)

    def too_large(need: float, what: str, largest: int) -> InputError:
        return _too_large(options, output, ranks, need, available, largest, what)

    if least(0) > available:
        large = output.particles is not None and least(0) > 2 * least(0, particles=False)
        raise too_large(least(0), "output.particles" if large else "vectors of the map's θ", 0)
    hopeless = least(options.samples) > available
    room = None
    if isinstance(options, PWGFOptions):
        job = Job(problem, map, options, output)
        if not hopeless:
            partition = job.partition(ranks, device.torch_device)
            chunks = partition.step.chunk + partition.evaluation.chunk
            if _most(job, chunks, device, ranks) <= available:
                return
        # Where not even the few samples of a plan would fit, none is made.
        if _most(job.of_samples(MORE), 2 * MORE, device, 1) <= available + _SLACK:
            room = _planned(job, device, available)
    if hopeless:
        largest = room.largest_samples(ranks, made=1.0) if room else _largest(least, available)
        raise too_large(least(options.samples), "its samples", largest)
    if room is not None and (phase := room.peak(partition, made=1.0)).total > available:
        raise too_large(phase.total, phase.largest, room.largest_samples(ranks, made=1.0))


def _described(device: torch.device) -> Device:
    """The device of this rank, as plans know it."""
    if device.type != "cuda":
        return device_named("cpu")
    memory = torch.cuda.get_device_properties(device).total_memory
    return replace(device_named("h100"), name="this GPU", memory=memory)


def _planned(job: Job, device: Device, available: int) -> Room | None:
    """None where a few samples do not go through: the run's own checks say why. What planning
    itself leaves in this process, as modules of torch, counts to the base."""
    before = resident()
    try:
        runner = few_samples(job, MORE, SimulatedRank(1))
        map = runner.start().map
        system = runner.system(map, runner.samples(map, 1))
        model = memory_model(job, runner, system)
    except (WgfError, StepFailed):
        return None
    left = 0 if device.is_gpu else max(0, resident() - before)
    return Room(job, replace(device, base=device.base + left), available, model)


def _least(
    problem: Problem, map: PushForward, options: SampleOptions, output: Output, device: Device,
    ranks: int,
) -> _Least:  # fmt: skip
    """Bytes that a rank holds at the least, by the number n of samples."""
    p, item = map.parameter_count(), options.torch_dtype.itemsize
    always = device.base + _VECTORS * p * item
    if isinstance(options, PWGFOptions) and options.preconditioner is Preconditioning.DENSE:
        always += 2 * 8 * p * p
    a_sample = _FEWEST * problem.dimension * item / ranks

    def least(samples: int, particles: bool = True) -> float:
        seen = (output.particles if particles else 0) or samples
        return always + a_sample * (samples + seen / 2)

    return least


def _largest(least: _Least, available: int) -> int:
    """The n at which the least is all that there is."""
    slope = least(1 << 20) / (1 << 20) - least(0) / (1 << 20)
    return max(0, int((available - least(0)) / slope))


def _most(job: Job, chunks: int, device: Device, ranks: int) -> float:
    """Bytes that a rank surely does not exceed; `chunks`: samples of the longest chunks."""
    options, map, d = job.options, job.map, job.problem.dimension
    p, item = map.parameter_count(), options.torch_dtype.itemsize
    rows = map.linearizer().bytes_per_sample
    seen = job.output.particles or options.samples
    samples = math.ceil((options.samples * (1.0 + (options.validation or 0.0)) + seen) / ranks)
    kept = min(rows * samples, budget(job, device))
    # While a chunk is pushed forward, every layer has d tangents beside its activations.
    passing = chunks * (d + 3) * (rows + d * item)
    blocks = 8 * 8 * p * min(p, 4096)
    grows = (_TENSORS * d + 40) * item * (samples + chunks) + 2 * kept + passing
    return device.base + _SLACK + grows + 40 * p * item + blocks


def _too_large(
    options: SampleOptions, output: Output, ranks: int, need: float, available: int, largest: int,
    what: str,
) -> InputError:  # fmt: skip
    each = "" if ranks == 1 else f" for each of the {ranks} ranks"
    remedies = ["a smaller map", "more memory or more ranks on other nodes"]
    if output.particles is not None:
        remedies.insert(0, "fewer output.particles")
    if options.torch_dtype.itemsize == 8:
        remedies.insert(0, 'method.dtype = "float32"')
    rounded = _down(largest)
    fits = f"the largest method.samples that fits is {rounded:,}" if rounded else "no n fits"
    return InputError(
        f"a run with {options.samples:,} samples needs at least {amount(need)} of memory{each}, "
        f"most for {what}, and there is {amount(available)}: {fits}; else take "
        f"{', '.join(remedies)}, or set {GIVEN} to what a rank may take"
    )


def _down(number: int) -> int:
    """Rounded down to two digits."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return number // unit * unit
