"""The engine that the options ask for."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from ...choices import Engine as Kind
from ...errors import InputError
from ...parallel import Communicator
from .engine import Engine
from .options import TrainingOptions
from .torch_engine import TorchEngine


def try_engine(
    module: nn.Module, options: TrainingOptions, communicator: Communicator, chunks: Sequence[int]
) -> None:
    """Whether the engine that the options ask for can serve, before any work. `chunks`: how many
    every rank has of the samples of an iteration. Collective. Errors: `InputError`."""
    if options.engine is Kind.DEEPSPEED and min(chunks) < options.accumulation:
        raise InputError(
            f"method.accumulation = {options.accumulation} micro-batches, but a rank has "
            f"{min(chunks)} chunks of samples: take fewer, or more samples"
        )
    engine_for(copy.deepcopy(module), options, communicator).close()


def engine_for(module: nn.Module, options: TrainingOptions, communicator: Communicator) -> Engine:
    """Adam on a module, with its moments at 0. Collective.

    Errors: `InputError` where DeepSpeed is asked for and cannot serve."""
    if options.engine is Kind.TORCH:
        return TorchEngine(module, communicator, clip=options.clip)
    from .deepspeed_engine import DeepSpeedEngine

    return DeepSpeedEngine(module, communicator, options)
