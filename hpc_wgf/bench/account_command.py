"""The command of a whole run's account: run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import AsJson, Device, Out, Rounds, Settings, deliver

if TYPE_CHECKING:
    from ..parallel import Communicator
    from .record import Row


def run_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="a named problem or a run file")],
    on_ranks: Annotated[
        int, typer.Option("--ranks", min=1, help="beside one, launched in turn")
    ] = 1,
    settings: Settings = None,
    count: Annotated[
        bool, typer.Option(help="carry the run out once more to count flops and bytes")
    ] = True,
    rounds: Rounds = 1,
    device: Device = "cpu",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Where every second of a whole run goes, by part and rank, and what ranks repeat.

    Example: `hpc-wgf bench run porous-5d --ranks 2 --set method.samples=100000 --rounds 5`
    """
    from . import run_account

    def measure(on: Communicator) -> list[Row]:
        own = settings or []
        return run_account.rows(name, on_ranks, own, rounds, device, counted=count)

    deliver(context, measure)
