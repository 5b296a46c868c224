"""What the time loop asks of a method, and what it hands to one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..checks import copied
from ..choices import Form, Proposal, Sampling, Stream
from ..columns import Column
from ..ensemble import Evaluation, Sampler, default_pieces
from ..errors import InputError
from ..integrators import Controller
from ..maps import Frame, MapState, PushForward
from ..parallel import Communicator, SampleBlocks, affordable, samples_to_check
from ..problems import Density, Gaussian, Problem, moments_of, proposal_of, round_circles

M = TypeVar("M")

_LAYOUT = 4096  # Samples of the start density by which features are laid out.


@dataclass(frozen=True)
class Setting:
    """Where a method is to work: everything that it does not choose itself."""

    problem: Problem
    """What is solved."""
    map: PushForward
    """The first map, on the device and in the precision of the run; the method may move it."""
    communicator: Communicator
    """The ranks."""
    sampler: Sampler
    """Draws numbered samples of the start density."""
    evaluation: Evaluation
    """The fixed sample on which every method is judged."""
    stop: Callable[[], bool] | None = None
    """Asked within long steps, on every rank: whether the run is to stop there (see
    `StepUnfinished`)."""

    @classmethod
    def of(
        cls,
        problem: Problem,
        map: PushForward,
        options: SampleOptions,
        communicator: Communicator,
        *,
        particles: int | None = None,
        pieces: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Self:
        """With a copy of `map`, laid out for the start density. `particles`, `pieces`: size of the
        evaluation sample and the pieces in which ranks share it, by default the method's samples
        in `default_pieces`.

        Errors: `InputError` where map and problem differ in dimension, and where the map cannot be
        copied."""
        first = laid_out(own_map(map, options), problem.start)
        sampler = Sampler(
            problem.start, communicator, seed=options.seed, dtype=options.torch_dtype,
            sampling=options.sampling, stream=options.stream,
            proposal=drawn_from(problem, options),
        )  # fmt: skip
        blocks = SampleBlocks.automatic(particles or options.samples, options.block)
        pieces = pieces or default_pieces(blocks.total, communicator.size)
        return cls(
            problem=problem,
            map=first.to(device=communicator.device, dtype=options.torch_dtype),
            communicator=communicator,
            sampler=sampler,
            evaluation=sampler.evaluation(blocks, pieces),
            stop=stop,
        )


def drawn_from(problem: Problem, options: SampleOptions) -> Density | None:
    """The density from which samples are drawn with importance weights, see `proposal_of` and, for
    the energy form, `round_circles`; None for the start density."""
    if options.proposal is Proposal.NONE:
        return None
    if getattr(options, "form", None) is Form.ENERGY and (wide := round_circles(problem)):
        return wide
    return proposal_of(problem, partial(layout_samples, problem.start))


def own_map(map: PushForward, options: object) -> PushForward:
    """The first map of a run for which `map` is given: that of the method's `options` where they
    make one of their own (`own_map`), else the given one."""
    own = getattr(options, "own_map", None)
    made: PushForward = map if own is None else own(map.dimension)
    return made


def laid_out(map: PushForward, start: Density) -> PushForward:
    """A copy of a map at its initial parameters, laid out for a start density.

    Errors: `InputError` where they differ in dimension, where the map cannot be copied, and where
    the density gives no samples."""
    if map.dimension != start.dimension:
        raise InputError(
            f"the map acts in dimension {map.dimension} but the problem has dimension "
            f"{start.dimension}"
        )
    first = copied(map)
    first.lay_out(start_frame(start))
    return first


def layout_samples(start: Density) -> Tensor:
    """The samples of a start density by which maps are laid out, (n, d) in float64, the same on
    every rank: 4096, or as many as 128 MiB hold. Errors: `InputError` where it gives none."""
    return samples_to_check(start.sample, affordable(_LAYOUT, start.dimension))


def start_frame(start: Density) -> Frame:
    """Mean, covariance and range of a start density, the same bits on every rank: its own moments,
    or where it does not know them those of `layout_samples`, whose range it is.

    Errors: `InputError` where the density gives no samples."""
    known = moments_of(start)
    if known is not None and isinstance(start, Gaussian):
        # They are all that it has. Few maps ask for samples beside them.
        return replace(Frame.of_moments(*known), samples=partial(layout_samples, start))
    z = layout_samples(start)
    if not bool(z.isfinite().all()):  # They are refused when the start is checked.
        return Frame.unit(start.dimension)
    sampled = Frame.of_samples(z)
    return sampled if known is None else Frame.of_moments(*known).spanning(sampled)


class SampleOptions(Protocol):
    """Which samples of the start density a method draws."""

    @property
    def samples(self) -> int:
        """n, of all ranks together."""
        ...

    @property
    def seed(self) -> int:
        """Of all random numbers."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How those of steps are drawn."""
        ...

    @property
    def stream(self) -> Stream:
        """Where their random numbers come from."""
        ...

    @property
    def proposal(self) -> Proposal:
        """What they are drawn from."""
        ...

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision of samples and parameters."""
        ...

    @property
    def block(self) -> int | None:
        """Samples of a numbered block; None for automatic."""
        ...


class MethodOptions(SampleOptions, Protocol):
    """How a method is run: the table `[method]` of a run file. `repr` of it is part of a run's
    identity: a stored run is resumed with equal options only."""

    @property
    def kind(self) -> str:
        """The tag by which run files choose the method."""
        ...

    def bind(self, setting: Setting) -> Method[Any]:
        """The method at work. Errors: `InputError` for what it cannot carry out."""
        ...


@dataclass(frozen=True)
class State(Generic[M]):
    """Everything from which a run goes on, bit for bit."""

    time: float
    """t."""
    map: MapState
    """The map that carries the start density to time t, and its parameters."""
    step: int
    """Accepted steps so far; it numbers the sample streams."""
    step_size: float
    """The proposal for the next step."""
    last_error: float = 1.0
    """The controller's memory: the last accepted error over the largest one allowed there."""
    memory: M | None = None
    """What the solves before left to those that follow; None at the start and at every stored
    time, where a run may be resumed."""
    kept: Tensor | None = None
    """What outlasts stored times, (k,) in float64 with one k for the whole run: stored with every
    row, where a resumed run finds it. None for a method that keeps nothing."""
    entered: Any = None
    """What `Method.enter` has found at this state; never stored."""

    @property
    def theta(self) -> Tensor:
        """Parameters of the active map, (p,)."""
        return self.map.theta


@dataclass(frozen=True)
class Trial(Generic[M]):
    """A step that has been tried and not yet accepted."""

    map: MapState
    """The map at its end."""
    error: float | None
    """Root mean squared movement of the samples by which the step may be wrong, in units of x;
    None where the scheme has no estimate."""
    memory: M | None
    """What its solves leave to those that follow."""
    figures: Mapping[str, float]
    """By the names of the method's columns along `step`."""
    kept: Tensor | None = None
    """`State.kept` at its end."""
    moved: float = 0.0
    """Root mean squared movement of the samples in the step, in units of x, which a tolerance
    relative to the displacement takes into account; 0 where no such tolerance is held."""


class Method(Protocol[M]):
    """A method bound to a problem, a first map and ranks.

    All that it decides is decided on sums over all ranks. `enter` and `advance` raise `StepFailed`
    where a step is to be shortened."""

    columns: Sequence[Column]
    """The figures that are its own, along `time` and along `step`."""

    def start(self) -> State[M]:
        """The state at the start time."""
        ...

    def enter(self, state: State[M]) -> State[M]:
        """The state with all that a step from it needs, as the velocity there. A step counts only
        once its end has been entered; a resumed run and a new stage begin with this call."""
        ...

    def advance(self, state: State[M], step_size: float) -> Trial[M]:
        """One step of the given size from a state that has been entered. Errors also:
        `StepUnfinished` where `Setting.stop` ends it; its arrays are those of `state_dict`, from
        which `load_state_dict` makes the memory with which the same step is gone on with."""
        ...

    def velocity(self, state: State[M]) -> Tensor | None:
        """η = θ' at a state that has been entered, (p,); None for a method without one."""
        ...

    def figures(self, state: State[M]) -> Mapping[str, float]:
        """Those of its columns along `time`, at a state that has been entered."""
        ...

    def controller(self) -> Controller:
        """Judge of the steps' errors."""
        ...

    def checks(self) -> Sequence[Callable[[], None]]:
        """What it wants to be tried before any work; each raises `InputError` where it fails."""
        ...

    def warnings(self) -> Sequence[str]:
        """What a user should know before a run that is not refused, one sentence each."""
        ...

    def description(self) -> Mapping[str, Any]:
        """What a store says of the method at work, beside its options."""
        ...

    def state_dict(self, state: State[M]) -> dict[str, np.ndarray]:
        """The state's memory as arrays on the host."""
        ...

    def load_state_dict(self, arrays: Mapping[str, np.ndarray], map: MapState) -> M | None:
        """The memory that `state_dict` took apart, the same bits; collective. `map`: of the
        state."""
        ...


@runtime_checkable
class FreezesSteps(Protocol):
    """A method each of whose steps is a map of its own, which is frozen where the step ends: a
    stage of the run, with a row."""

    def next_map(self, state: State[Any]) -> PushForward:
        """The map, the identity at its parameters, that goes on from a state that a step has
        reached."""
        ...


def begin_stage(state: State[M], map: PushForward) -> State[M]:
    """The state with its map frozen and a copy of `map`, the identity at its parameters, on top, on
    the device and in the precision of the run; to be entered anew."""
    stacked = state.map.stacked(copy.deepcopy(map).to(state.theta))
    return replace(state, map=stacked, memory=None, entered=None)
