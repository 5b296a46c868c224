"""`hpc-wgf bench`."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..parallel import Communicator
from ..ranks import ranks
from . import product
from .cases import CASES
from .record import Row, record

bench = typer.Typer(name="bench", no_args_is_help=True, help="Benchmarks")
JSON = Annotated[bool, typer.Option("--json")]
@bench.command("product")
def _product(context: typer.Context, case: list[str] = list(CASES), samples: int|None=None, dtype: str="float64", rounds: int=7, device: str="cpu", as_json: JSON=False, out: Path|None=None) -> None:
    """product"""
    with ranks(device) as c:
        record(product.rows(case, samples, dtype, rounds, c.device), dict(context.params), c.device, as_json=as_json, out=out)
@bench.command("x")
def x() -> None: ...
