"""The product with Ĝ against torch.func, double backward and the rate of matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import RunError
from ..parallel import LocalCommunicator
from ..profiling.flops import product_flops
from ..profiling.machine import matmul_rate, square_products
from ..profiling.timing import Times, interleaved
from .baselines import double_backward_product, torch_func_product
from .cases import assembled, case_named
from .record import Row

_AGREEMENT = {"float64": 1e-8, "float32": 1e-3}  # bounds of ‖difference‖/‖Ĝv‖
_LONG_ENOUGH = 0.03  # seconds; shorter products are repeated, to be timed with warm caches


def rows(
    cases: Sequence[str], samples: int | None, dtype: str, rounds: int, device: torch.device
) -> list[Row]:
    """One row for each case. `samples`: in place of those of the case; `dtype`: float64 or float32.

    Errors: `InputError` for an unknown case, `RunError` where two ways give different products.
    """
    return [_row(name, samples, dtype, rounds, device) for name in cases]


def _row(name: str, samples: int | None, dtype: str, rounds: int, device: torch.device) -> Row:
    case = case_named(name)
    n = samples or case.samples
    map, system = assembled(case, n, getattr(torch, dtype), LocalCommunicator(device))
    v = torch.randn(len(system.b), generator=torch.Generator().manual_seed(1)).to(system.b)
    whole = torch.cat(system.points)
    products = {
        "ours": lambda: system.gram.matvec(v),
        "torch.func, whole": lambda: torch_func_product(map, [whole], v, n),
        "torch.func, in chunks": lambda: torch_func_product(map, system.points, v, n),
        "double backward": lambda: double_backward_product(map, whole, v),
    }
    check_agreement(name, products, _AGREEMENT[dtype])
    calls = {**products, **square_products(getattr(torch, dtype), device)}
    once = interleaved({"ours": products["ours"]}, 1, device)["ours"].median
    repeats = max(1, min(10, round(_LONG_ENOUGH / once)))
    times = interleaved(calls, rounds, device, repeats=repeats)
    rate = matmul_rate(times, device)
    sizes: Row = {"samples": n, "parameters": len(v), "dtype": dtype}
    return _figures(name, times, product_flops(map, n), rate) | sizes


def check_agreement(case: str, products: dict[str, Callable[[], Tensor]], bound: float) -> None:
    """Check that all products agree with the first, up to `bound` relative to its norm.

    Errors: `RunError` for the first one that does not.
    """
    names = list(products)
    reference = products[names[0]]()
    for name in names[1:]:
        other = products[name]()
        distance = float((other - reference).norm() / reference.norm())
        if not distance <= bound:
            raise RunError(
                f"{case}: the product by {name} differs from {names[0]} by {distance:.1e} of its "
                f"norm, more than {bound:.0e}: one of them is wrong, and no time means anything"
            )


def _figures(name: str, times: dict[str, Times], flops: float, rate: float) -> Row:
    ours, backward = times["ours"].median, times["double backward"].median
    functional = {key: each.median for key, each in times.items() if key.startswith("torch.func")}
    way = min(functional, key=lambda key: functional[key])
    return {
        "case": name,
        "milliseconds": 1e3 * ours,
        "ratio_torch_func": functional[way] / ours,
        "ratio_double_backward": backward / ours,
        "matmul_share": flops / ours / rate,
        "milliseconds_least": 1e3 * times["ours"].least,
        "milliseconds_torch_func": 1e3 * functional[way],
        "milliseconds_double_backward": 1e3 * backward,
        "torch_func": way.partition(", ")[2],
        "flops": flops,
        "matmul_gflops": rate / 1e9,
    }
