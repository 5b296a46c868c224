"""What a step leaves to the next, and how it is put into arrays and made again from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..integrators import Scheme
from ..maps import PushForward
from .sampling import Samples
from .solver import Memory, MetricSolver, Origin

_SCHEME = "scheme/"
_NONE = -1  # of a count that is not known yet


@dataclass(frozen=True)
class Carried:
    """Of the last solve, and of the scheme."""

    solver: Memory | None
    scheme: Any


def packed(carried: Carried | None, scheme: Scheme) -> dict[str, np.ndarray]:
    """Arrays on the host from which `unpacked` makes the same again, bit for bit. A preconditioner
    is not among them, which may be larger than all else, but whence it came."""
    if carried is None:
        return {}
    arrays = {
        _SCHEME + name: _array(value) for name, value in scheme.packed(carried.scheme).items()
    }
    if (memory := carried.solver) is not None:
        least, drift = (_NONE if count is None else count for count in (memory.least, memory.drift))
        arrays |= {
            "made_theta": _array(memory.origin.theta),
            "made_step": np.asarray(memory.origin.step),
            "made_shift": np.asarray(memory.origin.shift),
            "shift": np.asarray(memory.shift),
            "counts": np.asarray([least, memory.excess, drift]),
        }
    return arrays


def unpacked(
    arrays: Mapping[str, np.ndarray], scheme: Scheme, solver: MetricSolver, map: PushForward,
    samples: Callable[[int], Samples],
) -> Carried | None:  # fmt: skip
    """What `packed` put away; `samples`: those of a step. Collective; moves the map."""
    if not arrays:
        return None
    device = next(map.parameters()).device
    memory = None
    if "made_theta" in arrays:
        step = int(arrays["made_step"])
        theta = torch.from_numpy(arrays["made_theta"]).to(device)
        origin = Origin(theta, step, float(arrays["made_shift"]))
        least, excess, drift = (int(count) for count in arrays["counts"])
        memory = solver.made_again(
            map, samples(step), origin, float(arrays["shift"]),
            least=None if least == _NONE else least, excess=excess,
            drift=None if drift == _NONE else drift,
        )  # fmt: skip
    remembered = {
        name.removeprefix(_SCHEME): torch.from_numpy(array).to(device)
        for name, array in arrays.items()
        if name.startswith(_SCHEME)
    }
    return Carried(memory, scheme.unpacked(remembered))


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
