"""What commands share that carry out many runs, each in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ..errors import InputError

if TYPE_CHECKING:
    from ..studies.folder import RunFiles


def check_alone(what: str) -> None:
    """Errors: `InputError` where a launcher has started several processes."""
    from ..parallel.launcher import find_place

    if find_place(os.environ).size > 1:
        raise InputError(f"{what} starts its runs itself: call it on one process, see its --jobs")


def carried_out(
    todo: Sequence[RunFiles], options: Sequence[str], jobs: int, *, quiet: bool
) -> bool:
    """Carry runs out, `jobs` at the same time, and tell of each on standard error unless `quiet`.
    Whether a signal has stopped them."""
    from ..parallel import stop_request
    from ..studies.jobs import carry_out

    numbers = {files.name: number for number, files in enumerate(todo, 1)}

    def tell(files: RunFiles, what: str) -> None:
        if not quiet:
            line = f"{numbers[files.name]}/{len(todo)}  {files.name}: {what}"
            print(line, file=sys.stderr, flush=True)

    with stop_request(speaks=True) as request:
        return carry_out(todo, options, at_once=jobs, tell=tell, stop=request)


def end_stopped() -> NoReturn:
    """End the program with the status of runs that were stopped."""
    from ..parallel import status_of_stop

    print("stopped on request; go on with the same command", file=sys.stderr)
    raise SystemExit(status_of_stop(os.environ))
