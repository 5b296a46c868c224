"""An account of every second of a whole run, on one rank and on several in turn.

Of every part T₁ are its seconds on one rank and T_P the mean over P ranks, waiting for others
included. What is *repeated* is the CPU seconds of all ranks over those of one: 1 where all work is
shared, P where every rank does all of it. The *serial share* is that of G. M. Amdahl's law which
explains the speed-up s = T₁/T_P (A. H. Karp, H. P. Flatt, Commun. ACM 33 (1990) 539),

    e = (1/s − 1/P)/(1 − 1/P).

`over_products` is s over the speed-up of the products with the metric in the same runs, and
`over_products_cpu` what CPU seconds say of it, those of the products that are repeated over those
of the part: other work on the machine, which delays one rank and with it all, hardly enters there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Self

from ..accounts import Part
from ..config import load
from .launching import launched, refuse_launched
from .record import Row

_PATIENCE = 7200.0  # seconds
PROGRAM, WHOLE, LOOP = "program", "whole run", "time loop"
"""Rows beside those of parts: from the start of the process to `solve`, which the whole run is;
and the loop within."""


@dataclass(frozen=True)
class _Figures:
    """Of a part on so many ranks, medians of the rounds."""

    seconds: tuple[float, ...]
    """By rank."""
    waiting: float = 0.0
    """Of them, the mean over ranks."""
    cpu: float | None = None
    """Of all ranks."""

    @property
    def mean(self) -> float:
        return sum(self.seconds) / len(self.seconds)


def rows(
    name: str, ranks: int, settings: Sequence[str], rounds: int, device: str, *, counted: bool
) -> list[Row]:  # fmt: skip
    """One row for each part that takes time, then for the program's start, the loop and the whole
    run. `counted`: whether the run is carried out once more on one rank, to count flops and bytes.

    Errors: `InputError` for what cannot be solved, or if this process was itself started by a
    launcher; `RunError` where a launch fails."""
    refuse_launched()
    load(name, list(settings))
    found: dict[int, list[Row]] = {number: [] for number in sorted({1, ranks})}
    for round in range(rounds):
        for number, launches in found.items():
            counts = counted and number == 1 and round == 0
            launches.append(_launched(name, number, settings, device, counted=counts))
    one, many = (_medians(found[number]) for number in (1, ranks))
    products = None
    if Part.PRODUCTS in many:
        products = _Speed.of(one[Part.PRODUCTS], many[Part.PRODUCTS])
    return [
        {
            **_row(part, figures, one[WHOLE].mean),
            **(_over_ranks(figures, many[part], ranks, products) if ranks > 1 else {}),
            **(_of_machine(part, figures, found[1][0]) if counted else {}),
        }
        for part, figures in one.items()
        if part in many
    ]


def _launched(name: str, ranks: int, settings: Sequence[str], device: str, *, counted: bool) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        arguments = [name, json.dumps(list(settings)), device, folder, str(int(counted))]
        return launched("run_on_ranks", ranks, arguments, patience=_PATIENCE)


def _medians(launches: Sequence[Row]) -> dict[str, _Figures]:
    """Of every part, of the program's start, the loop and the whole run."""
    each = [_figures(launch) for launch in launches]
    found = {}
    for part in each[0]:
        of_rounds = [figures[part] for figures in each]
        by_rank = zip(*(figures.seconds for figures in of_rounds), strict=True)
        cpu = [known for figures in of_rounds if (known := figures.cpu) is not None]
        found[part] = _Figures(
            tuple(map(median, by_rank)),
            median(figures.waiting for figures in of_rounds),
            median(cpu) if cpu else None,
        )
    return found


def _figures(launch: Row) -> dict[str, _Figures]:
    ranks = launch["ranks"]
    found = {}
    for part in Part:
        spent = [rank["parts"][part] for rank in ranks]
        if any(each["entries"] for each in spent):
            found[str(part)] = _Figures(
                tuple(each["seconds"] for each in spent),
                sum(each["waiting"] for each in spent) / len(spent),
                sum(each["cpu_seconds"] + each["aside"] for each in spent),
            )
    whole = tuple(sum(figures.seconds[k] for figures in found.values()) for k in range(len(ranks)))
    waiting = sum(figures.waiting for figures in found.values())
    wall, cores = zip(*(rank["program"] for rank in ranks), strict=True)
    found[PROGRAM] = _Figures(wall, cpu=sum(cores))
    found[LOOP] = _Figures((launch["loop"],) * len(ranks))
    found[WHOLE] = _Figures(whole, waiting, sum(rank["process"] for rank in ranks))
    return found


def _row(part: str, figures: _Figures, whole: float) -> Row:
    return {
        "part": part,
        "seconds": figures.mean,
        "share": None if part == PROGRAM else figures.mean / whole,
        "cpu_seconds": figures.cpu,
    }


class _Speed(NamedTuple):
    """Of a part on several ranks against one; None where it takes no time."""

    faster: float | None
    """Seconds on one over those on several."""
    repeated: float | None
    """CPU seconds of all over those of one."""

    @classmethod
    def of(cls, one: _Figures, many: _Figures) -> Self:
        return cls(_ratio(one.mean, many.mean), _ratio(many.cpu, one.cpu))


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def _over_ranks(one: _Figures, many: _Figures, ranks: int, products: _Speed | None) -> Row:
    faster, repeated = _Speed.of(one, many)
    of_products = products or _Speed(None, None)
    return {
        "ranks": ranks,
        "seconds_by_rank": [round(seconds, 4) for seconds in many.seconds],
        "waiting": many.waiting,
        "cpu_of_ranks": many.cpu,
        "repeated": repeated,
        "speed_up": faster,
        "over_products": _ratio(faster, of_products.faster),
        "over_products_cpu": _ratio(of_products.repeated, repeated),
        "serial_share": (1 / faster - 1 / ranks) / (1 - 1 / ranks) if faster else None,
    }


def _of_machine(part: str, figures: _Figures, launch: Row) -> Row:
    """Flops and bytes of a part, and which shares of the machine's rates it reaches."""
    work, (rate, bandwidth) = launch["work"], launch["rates"]
    if part in (WHOLE, LOOP):
        flops, nbytes = (sum(each[k] for each in work.values()) for k in (0, 1))
    else:
        flops, nbytes = work.get(part, (0.0, 0.0))
    known = part not in (PROGRAM, LOOP) and figures.mean > 0.0
    return {
        "gigaflops": flops / 1e9 if known else None,
        "gigabytes": nbytes / 1e9 if known else None,
        "of_matmul_rate": flops / figures.mean / rate if known else None,
        "of_bandwidth": nbytes / figures.mean / bandwidth if known else None,
    }
