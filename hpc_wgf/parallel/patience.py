"""How long a rank waits for the others: until they have started, and within a collective."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ..errors import InputError

RENDEZVOUS = "HPC_WGF_RENDEZVOUS_TIMEOUT"
"""Environment variable with the seconds within which all ranks have to start."""
COLLECTIVE = "HPC_WGF_COLLECTIVE_TIMEOUT"
"""Environment variable with the seconds for which a rank waits in a collective for slower ones."""
HEARTBEAT = "HPC_WGF_HEARTBEAT_TIMEOUT"
"""Environment variable with the seconds after which a rank of which nothing is heard is lost."""
_LONGEST = 1e8  # Three years; torch counts milliseconds in 64 bits.


@dataclass(frozen=True)
class Patience:
    """Seconds after which a rank no longer waits for others. That another rank has ended is noticed
    at once; these bounds are for ranks that never start, that hang, or whose node is lost."""

    rendezvous: float = 60.0
    """Until all ranks have started."""
    collective: float = 1800.0
    """Within a collective: longer than the longest step of the slowest rank."""
    heartbeat: float = 60.0
    """Without a sign of life: longer than any call that holds Python's lock."""

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> Self:
        """As the environment variables RENDEZVOUS, COLLECTIVE and HEARTBEAT say, by default those
        of this process. Errors: `InputError` for what is no positive number."""
        found = os.environ if environment is None else environment
        return cls(
            _seconds(found, RENDEZVOUS, cls.rendezvous),
            _seconds(found, COLLECTIVE, cls.collective),
            _seconds(found, HEARTBEAT, cls.heartbeat),
        )


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    given = environment.get(name)
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        raise InputError(
            f"environment variable {name}={given}: expected seconds, more than 0 and at most "
            f"{_LONGEST:g}"
        )
    return seconds
