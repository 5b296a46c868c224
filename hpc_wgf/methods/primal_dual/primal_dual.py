"""JKO steps by the primal–dual method [VWGF Algorithm 1] (J. Fan, Q. Zhang, A. Taghvaei, Y. Chen,
Variational Wasserstein gradient flow, ICML 2022, arXiv:2112.02424).

The map of a step is that from the start density, as in implicit Euler: E|x − S(x)|² over ρ_k is
E_λ|T_k − T_θ|², so that maps need not be composed. Every step begins with the network for h of the
step before, and with Adam anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...columns import Column
from ...errors import InputError
from ...integrators import Controller, FixedStep
from ...maps import MapState
from ...parallel import RandomStream, SampleBlocks
from ...problems import is_known
from ..base import Setting, State, Trial
from ..implicit.checks import concavity_warnings
from ..sample_checks import check_first_samples, check_samples, check_weights
from ..training import InnerLoop, engine_for, frozen, learning_rate, try_engine, unfinished_of
from .checks import check_problem, target_rows
from .duals import dual_of
from .game import Game
from .network import LogRatio
from .options import PrimalDualOptions
from .reference import RowsReference
from .samples import NumberedDraws

_JUDGED = 8  # times the samples of an iteration: those from which Γ and the gap are found
_NAN = float("nan")

Unfinished = Mapping[str, np.ndarray]


class PrimalDual:
    """The method on one problem, first map and set of ranks."""

    columns: Sequence[Column] = (
        Column("gap", "step", "what the dual found misses of the energy's part in the density at "
               "the end of the step, at samples that were not trained on; none where a density is "
               "known by samples alone", "F", optional=True),
        Column("gap_error", "step", "its standard error", "F", optional=True),
        Column("objective", "step", "objective of the map in the last iteration", "F"),
    )  # fmt: skip

    def __init__(self, setting: Setting, options: PrimalDualOptions) -> None:
        """Errors: `InputError` where the method cannot solve the problem, or its engine cannot
        serve."""
        self.setting, self.options, self.problem = setting, options, setting.problem
        check_problem(self.problem)
        check_samples(self.problem, options, setting.evaluation.ensemble.total)
        blocks = SampleBlocks(options.samples, options.numbered_block)
        judged = SampleBlocks(_JUDGED * options.samples, _JUDGED * options.numbered_block)
        self._draws = NumberedDraws(setting, blocks, options.seed)
        self._judged = NumberedDraws(setting, judged, options.seed, RandomStream.VALIDATION)
        self._network = LogRatio(
            self.problem.dimension, options.width, options.depth, options.log_range,
            seed=options.seed, dtype=options.torch_dtype,
        ).to(setting.communicator.device)  # fmt: skip
        rows = target_rows(self.problem.energy)
        self._rows = None if rows is None else RowsReference.of(rows)
        parts = setting.sampler.parts(blocks, setting.map.chunk_size())
        counts = [len(part) for part in parts]
        try_engine(self._network, options, setting.communicator, counts)
        self._tells_gap = is_known(self.problem.start) and rows is None

    def start(self) -> State[Unfinished]:
        map = MapState((), self.setting.map, self.setting.map.get_theta())
        kept = _parameters(self._network)
        return State(self.problem.start_time, map, 0, self.options.step_size, kept=kept)

    def controller(self) -> Controller:
        return FixedStep()

    def checks(self) -> Sequence[Callable[[], None]]:
        map = self.start().map
        first = self._draws.of_start(map, 0).chunks
        return [
            lambda: check_first_samples(self.problem, self.options.samples, map, first),
            lambda: check_weights(first),
            self._check_judged,
        ]

    def _check_judged(self) -> None:
        """Errors: `InputError`."""
        try:
            self._judged.of_start(self.start().map, 0)
        except InputError as error:
            raise InputError(
                f"Γ and the gap are found from {_JUDGED} times as many samples as an iteration "
                f"has, {self._judged.blocks.total}: {error}"
            ) from error

    def warnings(self) -> Sequence[str]:
        if self._rows is not None:  # No potential is used of a target that samples tell.
            return ()
        return concavity_warnings(self.problem, 1.0, self.options.step_size)

    def description(self) -> Mapping[str, Any]:
        return {"engine": self.options.engine.value}

    def enter(self, state: State[Unfinished]) -> State[Unfinished]:
        return state

    def velocity(self, state: State[Unfinished]) -> None:
        return None

    def figures(self, state: State[Unfinished]) -> Mapping[str, float]:
        return {}

    def advance(self, state: State[Unfinished], step_size: float) -> Trial[Unfinished]:
        game, options = self._game(state, step_size), self.options
        engines = {
            "dual": engine_for(game.network, options, self.setting.communicator),
            "map": engine_for(game.map, options, self.setting.communicator),
        }
        objective = _NAN

        def iterate(k: int) -> None:
            nonlocal objective
            number = state.step * options.iterations + k
            ensemble = self._draws.of_start(state.map, number)
            references = self._draws.of_reference(game.dual.reference, state.map, number)
            rate = learning_rate(options.decay, options.learning_rate, k, options.iterations)
            x = game.images(ensemble)
            for _ in range(options.dual_steps):
                engines["dual"].step(game.of_dual(ensemble, x, references), rate)
            with frozen(game.network):
                targets = game.targets(ensemble)
                objective = engines["map"].step(game.of_map(ensemble, targets), rate)

        loop = InnerLoop(self.setting, engines, step_size)
        try:
            loop.run(iterate, options.iterations, state.memory)
        finally:
            for engine in engines.values():
                engine.close()
        judged = self._judged.of_start(state.map, 2 * state.step + 1)
        references = self._judged.of_reference(game.dual.reference, state.map, state.step)
        gap, error = game.gap(self._energy(state.time + step_size), judged, references)
        if not self._tells_gap:
            gap = error = _NAN
        return Trial(
            map=game.reached(), error=None, memory=None, kept=_parameters(game.network),
            figures={"gap": gap, "gap_error": error, "objective": objective},
        )  # fmt: skip

    def _game(self, state: State[Unfinished], step_size: float) -> Game:
        assert state.kept is not None
        energy = self._energy(state.time + step_size)
        judged = self._judged.of_start(state.map, 2 * state.step)
        dual = dual_of(energy, self._rows, state.map.active(), judged, self.options.margin)
        network = copy.deepcopy(self._network)
        torch.nn.utils.vector_to_parameters(state.kept.to(state.theta), network.parameters())
        return Game(
            begun=state.map, step_size=step_size, dual=dual,
            position=() if self._rows is not None else energy.of_position,
            interactions=self._energy(state.time).interactions,
            map=copy.deepcopy(state.map.active()).requires_grad_(True), network=network,
        )  # fmt: skip

    def _energy(self, time: float) -> Any:
        return self.problem.at(time).energy

    def state_dict(self, state: State[Unfinished]) -> dict[str, np.ndarray]:
        return dict(state.memory or {})

    def load_state_dict(self, arrays: Mapping[str, np.ndarray], map: MapState) -> Unfinished | None:
        return unfinished_of(arrays)


def _parameters(network: torch.nn.Module) -> Tensor:
    """(k,) in float64."""
    return torch.cat([each.detach().double().reshape(-1) for each in network.parameters()])
