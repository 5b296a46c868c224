"""The timing comparison of [PWGF 5.1]: styblinski-tang-2d, 40 planar layers, 12 000 samples, ten
Euler steps of 0.005. The paper reports 14.26 s on an RTX 3070. The baseline here is MINRES without
preconditioner on products by torch.func.
"""

from __future__ import annotations

from dataclasses import replace

from ..choices import Preconditioning
from ..maps import PlanarFlow
from ..parallel import Communicator
from .baselines import TorchFuncPWGF, WholeTorchFuncPWGF
from .pwgf_problem import pwgf_problem
from .record import Row
from .whole_run import Contender, in_turn, middle

_STEPS, _STEP = 10, 0.005
_LAYERS, _SAMPLES = 40, 12_000


def rows(
    samples: int | None, settings: tuple[str, ...], rounds: int, communicator: Communicator
) -> list[Row]:
    """One row: a run of this package and the baseline, medians of `rounds`.

    The baseline takes the samples all at once or in chunks, whichever is faster. `samples`: n,
    12 000 for None. `settings`: "a.b=value" for the run file of both sides.
    """
    n, until = samples or _SAMPLES, _STEPS * _STEP
    problem, _, options = pwgf_problem(
        "styblinski-tang-2d", f"problem.until={until!r}", "method.scheme=euler",
        f"method.step={_STEP}", f"method.samples={n}", "method.tolerance=none",
        "method.sampling=random", *settings,
    )  # fmt: skip
    ours = PlanarFlow(2, _LAYERS, spread=3.5)
    contender = Contender(problem, ours, options, communicator, rows=1)
    plain = replace(contender, options=replace(options, preconditioner=Preconditioning.NONE))
    contenders = {
        "ours": contender,
        "groups": replace(plain, method=TorchFuncPWGF),
        "whole": replace(plain, method=WholeTorchFuncPWGF),
    }
    found = {name: middle(runs) for name, runs in in_turn(contenders, rounds).items()}
    way = min(("groups", "whole"), key=lambda name: found[name].seconds)
    mine, other = found["ours"], found[way]
    return [
        {
            "problem": "styblinski-tang-2d",
            "seconds": mine.seconds,
            "seconds_torch_func": other.seconds,
            "ratio": other.seconds / mine.seconds,
            "error": mine.error,
            "error_torch_func": other.error,
            "steps": mine.steps,
            "products": mine.products,
            "products_torch_func": other.products,
            "samples": n,
            "parameters": ours.parameter_count(),
            "torch_func": way,
        }
    ]
