"""The command `plan`: what a run will take, before it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..planning import PRODUCTS
from ..planning.devices import DEVICES
from .arguments import Settings, Source, TrustStart


def plan(
    name: Source,
    settings: Settings = None,
    nodes: Annotated[int, typer.Option(help="nodes of the job")] = 1,
    per_node: Annotated[
        int, typer.Option("--gpus-per-node", "--ranks-per-node", help="ranks on each of them")
    ] = 1,
    device: Annotated[str, typer.Option(help=", ".join(DEVICES))] = "cpu",
    products: Annotated[
        float | None, typer.Option(help=f"of a solve; depends on the problem [{PRODUCTS:g}]")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="a store, or a report by --json, to take them from")
    ] = None,
    preconditioners: Annotated[
        float | None, typer.Option(help="made in a step [one for every stored row]")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="a record of `hpc-wgf bench scaling --over ranks --out`")
    ] = None,
    execute: Annotated[
        bool, typer.Option("--dry-run", help="also execute a step of rank 0 on a fake group")
    ] = False,
    weak: Annotated[
        bool, typer.Option("--weak", help="fewer ranks have as many samples each, not in all")
    ] = False,
    trust: TrustStart = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for machines")] = False,
) -> None:
    """Memory, communication and seconds a step of a job, and the largest n that fits its memory.

    Example: `hpc-wgf plan porous-15d --set method.samples=1000000 --nodes 64 --gpus-per-node 8
    --device h100`
    """
    from ..planning import command
    from ..solution import solve

    command.plan(
        name,
        settings or [],
        nodes=nodes,
        per_node=per_node,
        device=device,
        products=products,
        like=like,
        preconditioners=preconditioners,
        calibration=calibration,
        execute=solve if execute else None,
        weak=weak,
        trust=trust,
        as_json=as_json,
    )
