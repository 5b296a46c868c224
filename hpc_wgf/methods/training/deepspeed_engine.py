"""DeepSpeed's Adam: gradients averaged over ranks, and moments sharded by ZeRO stages 1 and 2.

Source: S. Rajbhandari et al., ZeRO: memory optimizations toward training trillion parameter models,
SC 2020.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...errors import InputError
from ...parallel import Communicator
from .engine import Contributions
from .options import TrainingOptions
from .torch_engine import check_finite, fill, joined

_MOMENTS = ("exp_avg", "exp_avg_sq")


class DeepSpeedEngine:
    """An `Engine` by DeepSpeed, in float32. Steps agree with those of `TorchEngine` to rounding.

    Errors: `InputError` where DeepSpeed is not installed, or the ranks do not meet by
    torch.distributed."""

    def __init__(
        self, module: nn.Module, communicator: Communicator, options: TrainingOptions
    ) -> None:
        self._communicator, self._accumulation = communicator, options.accumulation
        self._parameters = list(module.parameters())
        for parameter in self._parameters:  # It flattens them as they lie in memory.
            parameter.data = parameter.data.contiguous()
        deepspeed = _deepspeed(communicator)
        self._engine: Any = deepspeed.initialize(
            model=module,
            optimizer=torch.optim.Adam(self._parameters, lr=0.0),
            dist_init_required=False,
            config={
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": options.accumulation,
                "gradient_clipping": options.clip or 0.0,
                "zero_optimization": {"stage": options.zero_stage},
                "zero_allow_untested_optimizer": True,
            },
        )[0]

    def step(self, loss: Contributions, rate: float) -> float:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        # The mean over ranks and micro-batches that it takes is to be the sum.
        factor = self._communicator.size * self._accumulation
        own = torch.zeros((), dtype=torch.float64, device=self._communicator.device)
        for parts in self._batches(loss):
            value = torch.stack([part() for part in parts]).sum()
            own += value.detach().double()
            self._engine.backward(factor * value)
            self._engine.step()
        found = float(self._communicator.sum(own))
        check_finite(found)
        return found

    def _batches(self, loss: Contributions) -> Sequence[Contributions]:
        """The parts of this rank in as many groups as there are micro-batches."""
        count = self._accumulation
        if len(loss) < count:
            raise InputError(
                f"method.accumulation = {count} micro-batches, but a rank has {len(loss)} chunks "
                "of samples: take fewer, or more samples"
            )
        edges = [k * len(loss) // count for k in range(count + 1)]
        return [loss[edges[k] : edges[k + 1]] for k in range(count)]
