"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..config import catalogue


def names_from(incomplete: str) -> list[str]:
    """The named problems that begin with `incomplete`, for shell completion."""
    return [name for name in catalogue.names() if name.startswith(incomplete)]


def sources_from(incomplete: str) -> list[str]:
    """The named problems and the run files that begin with `incomplete`, for shell completion."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    own = [str(path) for path in folder.glob("*") if path.suffix.lower() == ".toml"]
    return [*names_from(incomplete), *sorted(path for path in own if path.startswith(incomplete))]


Source = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE|-",
        help="a named problem, else a run file, or - for one on standard input. A name goes "
        "before a file of that name: say ./NAME for the file, unless it ends in .toml",
        autocompletion=sources_from,
    ),
]
NamedProblem = Annotated[str, typer.Argument(help="a named problem", autocompletion=names_from)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="change one value; may be repeated"),
]
StorePath = Annotated[Path, typer.Argument(help="the store of a run")]
Trust = Annotated[
    bool, typer.Option("--trust", help="import and call the code of users that the store names")
]
TrustStart = Annotated[
    bool,
    typer.Option(
        "--trust", help="call the code of users that a store names from which the run begins"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines")]
Comm = Annotated[
    str,
    typer.Option(
        help="auto, torch or mpi; auto takes MPI under mpirun, torch.distributed under torchrun, "
        "srun and deepspeed"
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes a GPU where there is one")]
Jobs = Annotated[int, typer.Option(min=1, help="runs at the same time, one core each")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="tell nothing but errors")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="a line with its time a step")]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log",
        "--log-file",  # torchrun takes --log for one of its own, also behind the module.
        metavar="FILE",
        help="append a line with its time for every row, stop and error, with -v for every step",
    ),
]
MetricsFile = Annotated[
    Path | None,
    typer.Option(
        "--metrics",
        metavar="FILE",
        help="write the figures of every step and row as lines of JSON; a resumed run appends",
    ),
]
