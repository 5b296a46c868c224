"""What a step is made of, on one device: the ceilings of copies and matrix products, small
matrices, thin products, drawing, a product with Ĝ and a whole step, each beside the ways in which
it could be done. Made for the first hours with a new GPU; on a CPU it is the same, but smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import count

import torch
from torch import Tensor

from ..config import load_problem
from ..errors import RunError
from ..maps.elimination import inverse
from ..methods.pwgf import PWGF, PWGFOptions
from ..parallel import Communicator, LocalCommunicator
from ..profiling.machine import side, square_products
from ..profiling.timing import Call, Times, interleaved
from .record import Row
from .steps import Steps

PROBLEM = "porous-15d"
"""The problem whose sizes these are: d = 15, an affine map and a block of 32 tanh units."""
_DIMENSION, _WIDTH = 15, 32
_SPLIT = 1024  # samples that are summed at once where a thin product is split
_AGREEMENT = {"float64": 1e-9, "float32": 1e-3}
STEPS_ON = {"cpu": 20_000, "cuda": 1_000_000}
"""The samples n where none are asked for."""


@dataclass(frozen=True)
class Way:
    """One way to do a part of a step."""

    call: Call
    """What is timed."""
    amount: float
    """What it does: bytes, operations, matrices, samples, or products with Ĝ."""
    unit: str
    """Of the amount over a second, in words."""


def rows(samples: int | None, dtype: str, rounds: int, device: torch.device) -> list[Row]:
    """One row for each part and way. `samples`: n; by default 10⁶ on a GPU, 20 000 on a CPU.
    `dtype`: of the numbers.

    Errors: `RunError` where two ways to the same result differ.
    """
    n = samples or STEPS_ON[device.type]
    of = _Sizes(n, dtype, device)
    parts: dict[str, Callable[[], Mapping[str, Way]]] = {
        "copy": of.copies, "matrix product": of.square, "small matrices": of.small_matrices,
        "thin product": of.thin_products,
    }  # fmt: skip
    found = [row for part, ways in parts.items() for row in _rows(part, ways(), of, rounds)]
    on = LocalCommunicator(device)
    for stream, runner in _runners(n, dtype, on).items():
        found += _rows("drawing", {stream: _drawing(runner)}, of, rounds)
    found += _rows("product with the metric", {PROBLEM: _product(runner)}, of, rounds)
    return [*found, _step(runner, stream, of, rounds)]


@dataclass(frozen=True)
class _Sizes:
    """n samples in a precision on a device."""

    samples: int
    dtype: str
    device: torch.device

    def made(self, *shape: int) -> Tensor:
        """Normal numbers."""
        return torch.randn(shape, dtype=getattr(torch, self.dtype), device=self.device)

    def copies(self) -> dict[str, Way]:
        """Within the device, and on a GPU from the host."""
        here = self.made(self.samples, _DIMENSION)
        there = torch.empty_like(here)
        ways = {"on the device": Way(lambda: there.copy_(here), 2.0 * here.nbytes, "bytes")}
        if self.device.type == "cuda":
            host = here.cpu()
            pinned = host.pin_memory()
            ways |= {
                "from the host": Way(lambda: there.copy_(host), host.nbytes, "bytes"),
                "from pinned memory": Way(
                    lambda: there.copy_(pinned, non_blocking=True), host.nbytes, "bytes"
                ),
            }
        return ways

    def square(self) -> dict[str, Way]:
        """The rate of large matrix products."""
        amount = 2.0 * side(self.device) ** 3
        calls = square_products(getattr(torch, self.dtype), self.device)
        return {name: Way(call, amount, "flops") for name, call in calls.items()}

    def small_matrices(self) -> dict[str, Way]:
        """A⁻¹ and log|det A| of a matrix (d, d) near the identity for every sample."""
        d = _DIMENSION
        last = 0.1 * self.made(d, d, self.samples) / d**0.5
        last += torch.eye(d).to(last)[:, :, None]
        first = last.permute(2, 0, 1).contiguous()
        one = torch.eye(d).to(first)

        def factored() -> tuple[Tensor, Tensor]:
            lu, pivots, _ = torch.linalg.lu_factor_ex(first)
            return torch.linalg.lu_solve(lu, pivots, one.expand_as(first)), _log_volume(lu)

        def twice() -> tuple[Tensor, Tensor]:
            return torch.linalg.inv_ex(first).inverse, torch.linalg.slogdet(first).logabsdet

        def ours() -> tuple[Tensor, Tensor]:
            inverses, log_volume, _ = inverse(last)
            return inverses.permute(2, 0, 1), log_volume

        ways = {"inverse and determinant": twice, "one LU factorisation": factored, "ours": ours}
        self.check("small matrices", ways)
        return {name: Way(way, self.samples, "matrices") for name, way in ways.items()}

    def thin_products(self) -> dict[str, Way]:
        """g aᵀ, (h, n) by (n, d + 1), as Jᵀu sums over all samples."""
        n = max(_SPLIT, self.samples - self.samples % _SPLIT)
        g, a = self.made(_WIDTH, n), self.made(_DIMENSION + 1, n)
        parts = n // _SPLIT

        def whole() -> tuple[Tensor]:
            return (g @ a.T,)

        def split() -> tuple[Tensor]:
            left = g.view(_WIDTH, parts, _SPLIT).transpose(0, 1)
            right = a.view(_DIMENSION + 1, parts, _SPLIT).transpose(0, 1).transpose(1, 2)
            return (torch.bmm(left, right).sum(0),)

        ways = {"one product": whole, "split": split}
        self.check("thin product", ways)
        nbytes = float(g.nbytes + a.nbytes)
        return {name: Way(way, nbytes, "bytes") for name, way in ways.items()}

    def check(self, part: str, ways: Mapping[str, Callable[[], tuple[Tensor, ...]]]) -> None:
        """Errors: `RunError` where ways differ by more than rounding."""
        first, *others = ways
        expected = ways[first]()
        for name in others:
            for found, wanted in zip(ways[name](), expected, strict=True):
                apart = float((found - wanted).norm() / wanted.norm())
                if not apart <= _AGREEMENT[self.dtype]:
                    raise RunError(
                        f"{part}: {name} differs from {first} by {apart:.1e} of its norm: one of "
                        "them is wrong, and no time means anything"
                    )


def _log_volume(lu: Tensor) -> Tensor:
    return lu.diagonal(dim1=1, dim2=2).abs().log().sum(1)


def _runners(n: int, dtype: str, on: Communicator) -> dict[str, PWGF]:
    """The method on n samples, by the stream of random numbers, the last the fastest."""
    streams = ["numpy"]
    if any(field.name == "stream" for field in fields(PWGFOptions)):
        streams.append("philox")
    found = {}
    for stream in streams:
        own = (f"method.stream={stream}",) if len(streams) > 1 else ()
        problem, map, options = load_problem(
            PROBLEM, f"method.samples={n}", f"method.dtype={dtype}", "method.tolerance=none", *own
        )
        steady = replace(options, step_size=0.01 * options.step_size)
        found[stream] = PWGF.on(problem, map, steady, on, particles=64)
    return found


def _drawing(runner: PWGF) -> Way:
    map, steps = runner.start().map, count()
    return Way(lambda: runner.samples(map, next(steps)), runner.options.samples, "samples")


def _product(runner: PWGF) -> Way:
    map = runner.start().map
    system = runner.system(map, runner.samples(map, 0))
    v = torch.ones_like(system.b)
    return Way(lambda: system.gram.matvec(v), 1.0, "products")


def _step(runner: PWGF, stream: str, of: _Sizes, rounds: int) -> Row:
    steps = Steps(runner)
    steps.warm_up()
    steps.measure(rounds)
    products = sum(steps.products) / len(steps.products)
    return _row("step", f"{PROBLEM}, {stream}", steps.times, products, "products", of)


def _rows(part: str, ways: Mapping[str, Way], of: _Sizes, rounds: int) -> Iterator[Row]:
    times = interleaved({name: way.call for name, way in ways.items()}, rounds, of.device)
    for name, way in ways.items():
        yield _row(part, name, times[name], way.amount, way.unit, of)


def _row(part: str, way: str, times: Times, amount: float, unit: str, of: _Sizes) -> Row:
    return {
        "part": part,
        "way": way,
        "samples": of.samples,
        "dtype": of.dtype,
        "milliseconds": 1e3 * times.median,
        "milliseconds_least": 1e3 * times.least,
        "amount": amount,
        "unit": unit,
        "a_second": amount / times.median,
    }
