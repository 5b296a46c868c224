"""The engine that the options ask for."""

from __future__ import annotations

from torch import nn

from ...choices import Engine as Kind
from ...parallel import Communicator
from .engine import Engine
from .options import TrainingOptions
from .torch_engine import TorchEngine


def engine_for(module: nn.Module, options: TrainingOptions, communicator: Communicator) -> Engine:
    """Adam on a module, with its moments at 0. Collective.

    Errors: `InputError` where DeepSpeed is asked for and cannot serve."""
    if options.engine is Kind.TORCH:
        return TorchEngine(module, communicator, clip=options.clip)
    from .deepspeed_engine import DeepSpeedEngine

    return DeepSpeedEngine(module, communicator, options)
