"""DeepSpeed's Adam: gradients averaged over ranks, and moments sharded by ZeRO stages 1 and 2.

Source: S. Rajbhandari et al., ZeRO: memory optimizations toward training trillion parameter models,
SC 2020.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from .torch_engine import MOMENTS, check_finite, fill, joined


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
        _check_ranks(communicator)
        with _place_of(communicator):
            self._engine: Any = _deepspeed(communicator).initialize(
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
        own = torch.zeros(2, dtype=torch.float64, device=self._communicator.device)
        with warnings.catch_warnings():
            # It calls functions of torch by names that have become old.
            warnings.simplefilter("ignore", FutureWarning)
            for parts in self._batches(loss):
                value = torch.stack([part() for part in parts]).sum()
                own[0] += value.detach().double()
                self._engine.backward(factor * value)
                self._engine.step()
        own[1] = sum((~each.detach().isfinite()).sum() for each in self._parameters)
        found, broken = self._communicator.sum(own).tolist()
        check_finite(found, math.nan if broken else 0.0)
        return float(found)

    def close(self) -> None:
        # Its hooks hold parameters and moments where no garbage collection finds them.
        self._engine.destroy()

    def _batches(self, loss: Contributions) -> Sequence[Contributions]:
        """The parts of this rank in as many groups as there are micro-batches, which
        `check_micro_batches` has found to be enough."""
        count = self._accumulation
        edges = [k * len(loss) // count for k in range(count + 1)]
        return [loss[edges[k] : edges[k + 1]] for k in range(count)]

    def state_dict(self) -> dict[str, np.ndarray]:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        taken = {"parameters": joined([safe_get_full_fp32_param(p) for p in self._parameters])}
        if (steps := self._steps()) is None:
            return taken
        for name in MOMENTS:
            parts = [safe_get_full_optimizer_state(each, name) for each in self._parameters]
            taken[name] = joined(parts)
        return {**taken, "steps": steps.cpu().numpy()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        if "steps" in arrays:
            # There are no moments before the first step; one of rate 0 moves nothing.
            nothing = [lambda: torch.stack([0.0 * each.sum() for each in self._parameters]).sum()]
            self.step(nothing * self._accumulation, 0.0)
        values = {name: [torch.empty_like(each) for each in self._parameters] for name in arrays}
        for name in ("parameters", *MOMENTS):
            if name in arrays:
                fill(values[name], arrays[name])
        with torch.no_grad():
            for k, parameter in enumerate(self._parameters):
                parameter.copy_(values["parameters"][k])
                safe_set_full_fp32_param(parameter, values["parameters"][k])
                for name in MOMENTS:
                    if name in arrays:
                        safe_set_full_optimizer_state(parameter, values[name][k], name)
        if (steps := self._steps()) is not None and "steps" in arrays:
            steps.fill_(float(arrays["steps"]))

    def _steps(self) -> Tensor | None:
        """The count of Adam's steps, which all parameters of a rank share; None before the
        first."""
        states = list(self._engine.optimizer.optimizer.state.values())
        return states[0]["step"] if states and states[0] else None


@contextmanager
def _place_of(communicator: Communicator) -> Iterator[None]:
    """A context in which the environment names the device of this rank as DeepSpeed looks for it:
    it makes the one of that number its own, and compares what launchers say."""
    local = os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", os.environ.get("LOCAL_RANK", "0"))
    if communicator.device.type == "cuda":
        local = str(communicator.device.index or 0)
    names = ["LOCAL_RANK", *({"OMPI_COMM_WORLD_LOCAL_RANK"} & os.environ.keys())]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, local))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_ranks(communicator: Communicator) -> None:
    """Errors: `InputError` where the library cannot be at work on the ranks."""
    if find_spec("deepspeed") is None:
        raise InputError(
            'method.engine = "deepspeed", but DeepSpeed is not installed: pip install '
            'hpc-wgf[deepspeed], or use method.engine = "torch"'
        )
    if not dist.is_initialized() and communicator.size == 1:
        alone = dist.HashStore()  # type: ignore[attr-defined]
        backend = "gloo" if communicator.device.type == "cpu" else "nccl"
        dist.init_process_group(backend, store=alone, rank=0, world_size=1)
    if not dist.is_initialized() or dist.get_world_size() != communicator.size:
        raise InputError(
            f'method.engine = "deepspeed" needs ranks by torch.distributed, and these '
            f"{communicator.size} meet otherwise, as by MPI: start them by torchrun or srun with "
            '--comm torch, or use method.engine = "torch"'
        )


def _deepspeed(communicator: Communicator) -> Any:
    """The library, at work on the ranks."""
    if communicator.device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    import deepspeed.ops

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # It would be compiled.
    if not deepspeed.comm.is_initialized():
        deepspeed.init_distributed(
            "gloo" if communicator.device.type == "cpu" else "nccl", verbose=False,
            dist_init_required=False,
        )  # fmt: skip
    return deepspeed
