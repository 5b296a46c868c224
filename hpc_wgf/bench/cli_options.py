"""Options that the commands of benchmarks share, and how their rows are shown or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..choices import Precision

if TYPE_CHECKING:
    from ..parallel import Communicator
    from .record import Row

Rounds = Annotated[int, typer.Option(min=1, help="rounds A B A B …; medians are reported")]
Samples = Annotated[int | None, typer.Option(min=1, help="samples in place of the case's own")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="change the run file; may be repeated"),
]
Folder = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="where to write; a temporary one"),
]
Dtype = Annotated[Precision, typer.Option(help="of the numbers")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Comm = Annotated[str, typer.Option(help="auto, torch or mpi")]
AsJson = Annotated[bool, typer.Option("--json", help="a JSON list of rows for machines")]
Out = Annotated[
    Path | None, typer.Option(help="also write rows, configuration and versions to this file")
]


def with_samples(settings: list[str] | None, samples: int | None) -> list[str]:
    """The settings, with that of the number of samples where one is given."""
    return [*(settings or []), *([f"method.samples={samples}"] if samples else [])]


def deliver(context: typer.Context, measure: Callable[[Communicator], list[Row]]) -> None:
    """Measure on the ranks of this launch, and show or write the rows on rank 0.

    `context`: the command and its options, which are written with the rows; among them are as_json
    and out, device where it is not the CPU alone, and comm where several ranks make sense.
    `measure`: makes the rows, on every rank.
    """
    from ..parallel import distributed
    from .record import record

    given: Mapping[str, Any] = context.params
    with distributed(given.get("device", "cpu"), given.get("comm", "auto")) as communicator:
        rows = measure(communicator)
        if communicator.rank == 0:
            kept = {key: value for key, value in given.items() if key not in ("as_json", "out")}
            configuration = {"benchmark": context.info_name, "ranks": communicator.size, **kept}
            # Not every version of typer has turned the text of a path into a path here.
            out = None if given["out"] is None else Path(given["out"])
            record(rows, configuration, communicator.device, as_json=given["as_json"], out=out)
