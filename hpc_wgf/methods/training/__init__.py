"""First-order training of networks inside a step of a method: Adam, and a loop that can stop."""

from typing import TYPE_CHECKING

from ...names_on_demand import names_on_demand

if TYPE_CHECKING:
    from .engine import Contributions, Engine
    from .engines import engine_for, try_engine
    from .inner_loop import InnerLoop, unfinished_of
    from .options import TrainingOptions
    from .rates import learning_rate
    from .torch_engine import TorchEngine, frozen
else:  # the options are a table of run files, which need no torch
    __getattr__ = names_on_demand(
        __name__, ["options", "engine", "engines", "inner_loop", "rates", "torch_engine"]
    )

__all__ = [
    "Contributions",
    "Engine",
    "InnerLoop",
    "TorchEngine",
    "TrainingOptions",
    "engine_for",
    "frozen",
    "learning_rate",
    "try_engine",
    "unfinished_of",
]
