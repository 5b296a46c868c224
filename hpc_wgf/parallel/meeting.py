"""Where ranks meet: the store that rank 0 holds for all, and what they tell each other there before
they can communicate."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from ..errors import InputError, MissingRankError
from .launcher import Place
from .patience import RENDEZVOUS, Patience

_ASKING = 0.05  # Seconds between two looks for others who have not come yet.


class Meeting:
    """The store of all ranks, as rank `place.rank` of them sees it.

    Errors: `InputError` where the place has no address or port, or the ranks do not meet.
    """

    store: Any
    """torch's store, with keys that ranks which were started again do not share."""
    held: bool
    """Whether the launcher holds it, and not rank 0."""

    def __init__(self, place: Place, patience: Patience) -> None:
        self._place, self._patience = place, patience
        self._where = _meeting_point(place)
        # Under torchrun the agent of the first node may hold the store.
        self.held = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if place.rank and not self._is_open():
            raise MissingRankError(
                self._waited("rank 0, which holds the meeting point, to open it")
            )
        holds = place.rank == 0 and not self.held
        try:
            self.store = self._connected(holds, patience.rendezvous)
        except RuntimeError as error:  # DistNetworkError
            raise InputError(self.apart(error)) from error

    def another_connection(self) -> Any:
        """A connection of its own to the store, for another thread: one that waits holds its
        own up."""
        return self._connected(False, self._patience.heartbeat)

    def _connected(self, holds: bool, seconds: float) -> Any:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            *self._where, self._place.size, holds, timeout=timedelta(seconds=seconds),
            wait_for_workers=False, multi_tenant=not self.held,
        )  # fmt: skip
        # The agent's store outlives ranks that are started again, with all that they have said.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return dist.PrefixStore(f"attempt {attempt}", store)  # type: ignore[attr-defined]

    def _is_open(self) -> bool:
        """Whether somebody listens there within our patience. The store itself would ask once more
        after its time, and print a trace of its own."""
        end = time.monotonic() + self._patience.rendezvous
        while time.monotonic() < end:
            try:
                left = max(_ASKING, end - time.monotonic())
                socket.create_connection(self._where, timeout=left).close()
            except OSError:  # Refused, as rank 0 is late, or a name that is not known yet.
                time.sleep(_ASKING)
            else:
                return True
        return False

    def await_all(self, stage: str) -> None:
        """Wait until all ranks have come to this `stage`."""
        size = self._place.size
        try:
            here, end = self.store.add(stage, 1), time.monotonic() + self._patience.rendezvous
            while here < size and time.monotonic() < end:
                time.sleep(_ASKING)
                here = self.store.add(stage, 0)
        except RuntimeError as error:  # Rank 0, which holds the store, has ended, and has said why.
            raise InputError(self.apart(error)) from error
        if here < size:
            raise InputError(self._waited(f"{size - here} of {size} ranks, which did not come"))

    def told(self, keys: list[str]) -> list[str]:
        """What ranks have set before a stage to which all have come."""
        try:
            return [each.decode() for each in self.store.multi_get(keys)]
        except RuntimeError as error:
            raise InputError(self.apart(error)) from error

    def _waited(self, for_whom: str) -> str:
        place, seconds = self._place, self._patience.rendezvous
        return (
            f"rank {place.rank} waited {seconds:g} s at {place.address}, port {place.port}, for "
            f"{for_whom}: start all {place.size} ranks with the same MASTER_ADDR and MASTER_PORT, "
            f"look for messages of those that ended, or set {RENDEZVOUS} to more seconds"
        )

    def apart(self, cause: Exception) -> str:
        """What is said where this rank did not meet the others."""
        place = self._place
        first = str(cause).partition("\n")[0]
        return (
            f"rank {place.rank} of {place.size} did not meet the others at {place.address}, port "
            f"{place.port}: {first} Either another job has that port (set MASTER_PORT to a free "
            "one, the same on all ranks) or a rank has ended before"
        )


def _meeting_point(place: Place) -> tuple[str, int]:
    if place.address is not None and place.port is not None:
        return place.address, place.port
    missing = [
        name
        for name, value in (("MASTER_ADDR", place.address), ("MASTER_PORT", place.port))
        if value is None
    ]
    raise InputError(
        f"{place.launcher} does not tell where rank 0 of {place.size} can be met: set "
        f"{' and '.join(missing)} to the host of rank 0 and a free port there, the same on "
        "all ranks, or use --comm mpi"
    )
