"""The command `consolidate`: one map in place of the chain of maps of a stored run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config.toml import with_settings
from ..errors import InputError
from ..fields import local_path, shown
from .arguments import AsJson, Comm, Device, Settings, StorePath, Trust

if TYPE_CHECKING:
    from ..analysis import Consolidated, Trajectory
    from ..config import RunFile
    from ..maps import PushForward
    from ..store import StoredRun


def consolidate(
    path: StorePath,
    time: Annotated[float, typer.Option(help="the stored time whose map is wanted")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="the .npz file to make")],
    source: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="NAME|FILE",
            help="a run file whose tables [[map]] say the kind of map [the store's first one]",
        ),
    ] = None,
    settings: Settings = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="how many are fitted [8192, or more if need be]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the samples")] = 0,
    trust: Trust = False,
    as_json: AsJson = False,
    device: Device = "auto",
    comm: Comm = "auto",
) -> None:
    """Fit one map to a stored run's chain of maps at a time, and tell by how much it misses.

    Example: `hpc-wgf consolidate st.zarr --time 0.5 --set map.0.knots=64 --out map.npz`
    """
    from ..analysis import consolidate as consolidated
    from ..maps import described_built_in
    from ..parallel import agreed, distributed
    from ..store import save_map
    from ..store.map_file import refuse_file

    with distributed(device, comm) as communicator:
        with agreed(communicator):
            _check_settings(settings or ())
            out = local_path(out)
            if communicator.rank == 0:
                refuse_file(out)
            run, map = _opened(path, source, settings or (), trust=trust)
            described_built_in(map)
            chain = run.map(time)
        found = consolidated(
            chain, run.spec.problem.start, map, samples=samples, seed=seed,
            communicator=communicator,
        )  # fmt: skip
        with agreed(communicator):
            if communicator.rank == 0:
                save_map(found.map, out)
                _tell(found, stages=len(chain.stages) + 1, out=out, as_json=as_json)


def _check_settings(settings: Sequence[str]) -> None:
    """The run is what the store says: of a run file, the kind of map alone is taken."""
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key.split(".")[0] != "map":
            raise InputError(
                f"--set {shown(setting)} does not concern the map: only that can be chosen here, "
                "as map.0.knots=64"
            )


def _opened(
    path: Path, source: str | None, settings: Sequence[str], *, trust: bool
) -> tuple[Trajectory, PushForward]:
    """The stored run, and the kind of map that is wanted of it."""
    from ..analysis import Trajectory
    from ..config import build, load, map_of
    from ..store import open_run, refuse_damaged

    stored = open_run(path)
    stored.check_resumable()
    refuse_damaged(stored)
    spec = build(_run_file(stored, (), trust=trust), trust=trust)
    if source is not None:
        wanted = load(source, settings)
    else:
        wanted = _run_file(stored, settings, trust=trust)
    return Trajectory.of(path, spec), map_of(wanted, spec.problem)


def _run_file(stored: StoredRun, settings: Sequence[str], *, trust: bool) -> RunFile:
    from ..config import parse_stored

    tables = stored.configuration(
        "consolidate it in Python, hpc_wgf.consolidate(chain, start, map)"
    )
    return parse_stored(
        with_settings(tables, settings), trust=trust, store=stored.path, instead="say --trust"
    )


def _tell(found: Consolidated, *, stages: int, out: Path, as_json: bool) -> None:
    """What has come out, on standard output."""
    figures = {name: value for name, value in vars(found).items() if name != "map"}
    if as_json:
        print(json.dumps({**figures, "parameters": found.map.parameter_count(), "stages": stages}))
        return
    how = "" if found.converged else ", still falling"
    print(
        f"one map of {found.map.parameter_count()} parameters in place of {stages}, fitted at "
        f"{found.samples} samples in {found.iterations} iterations{how}\n"
        f"misfit at as many others {found.misfit:.3g}, {found.misfit_relative:.3g} of the "
        f"displacement; folded at {found.folded}\n"
        f"stored in {out}"
    )
