"""A second method: the flat gradient flow θ' = −∇F(θ), which ignores the geometry of the map."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hpc_wgf.choices import Form, Proposal, Sampling, Stream
from hpc_wgf.columns import Column
from hpc_wgf.integrators import FixedStep
from hpc_wgf.maps import MapState
from hpc_wgf.methods.base import State, Trial
from hpc_wgf.methods.pwgf.normal_equations import assemble
from hpc_wgf.parallel import RandomStream, SampleBlocks


@dataclass(frozen=True)
class FlatOptions:
    samples: int = 500
    step_size: float = 0.05
    seed: int = 0
    block: int | None = None
    kind: str = "flat"
    sampling: Sampling = Sampling.RANDOM
    stream: Stream = Stream.NUMPY
    proposal: Proposal = Proposal.NONE
    torch_dtype: torch.dtype = torch.float64

    def bind(self, setting):
        return FlatGradient(setting, self)


class FlatGradient:
    """Heun's steps of fixed size; the slope of the step before is remembered, for a figure."""

    columns = (Column("turn", "step", "cosine between the last two slopes", optional=True),)

    def __init__(self, setting, options):
        self.setting, self.options = setting, options
        self.blocks = SampleBlocks.automatic(options.samples, options.block)

    def start(self):
        map = MapState((), self.setting.map, self.setting.map.get_theta())
        return State(self.setting.problem.start_time, map, 0, self.options.step_size)

    def slope(self, map, step):
        sampler, flow = self.setting.sampler, self.setting.problem.at()
        parts = sampler.parts(self.blocks, map.map.chunk_size())
        drawn = sampler.draw(self.blocks, parts, RandomStream.STEP, step)
        ensemble = drawn.carried(map.stages, score=flow.energy.needs_density)
        return assemble(map.active(), ensemble, flow, form=Form.FORCE).b

    def enter(self, state):
        return replace(state, entered=self.slope(state.map, state.step))

    def advance(self, state, step_size):
        predicted = state.map.moved(state.theta + step_size * state.entered)
        mean = 0.5 * (state.entered + self.slope(predicted, state.step))
        before = mean.new_tensor(np.nan) if state.memory is None else state.memory
        turn = float(torch.dot(before.expand_as(mean), mean) / (before.norm() * mean.norm()))
        return Trial(state.map.moved(state.theta + step_size * mean), None, mean, {"turn": turn})

    def velocity(self, state):
        return state.entered

    def controller(self):
        return FixedStep()

    def state_dict(self, state):
        return {} if state.memory is None else {"slope": state.memory.numpy()}

    def load_state_dict(self, arrays, map):
        return torch.from_numpy(arrays["slope"]) if arrays else None

    def figures(self, state):
        return {}

    checks, warnings, description = tuple, tuple, dict
