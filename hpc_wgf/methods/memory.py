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
class WarmStart:
    """Of the last solve, and of the scheme."""

    solver: Memory | None
    scheme: Any


def state_dict(carried: WarmStart | None, scheme: Scheme) -> dict[str, np.ndarray]:
    """Arrays on the host from which `load_state_dict` makes the same again, bit for bit. A
    preconditioner is not among them, which may be larger than all else, but whence it came."""
    if carried is None:
        return {}
    arrays = {
        _SCHEME + name: _array(value) for name, value in scheme.state_dict(carried.scheme).items()
    }
    if (memory := carried.solver) is not None:
        first_count, second_extra = (
            _NONE if count is None else count for count in (memory.first_count, memory.second_extra)
        )
        arrays |= {
            "made_theta": _array(memory.origin.theta),
            "made_step": np.asarray(memory.origin.step),
            "made_shift": np.asarray(memory.origin.shift),
            "shift": np.asarray(memory.shift),
            "counts": np.asarray([first_count, memory.extra_total, second_extra]),
        }
    return arrays


def load_state_dict(
    arrays: Mapping[str, np.ndarray], scheme: Scheme, solver: MetricSolver, map: PushForward,
    samples: Callable[[int], Samples],
) -> WarmStart | None:  # fmt: skip
    """What `state_dict` put away; `samples`: those of a step. Collective; moves the map."""
    if not arrays:
        return None
    device = next(map.parameters()).device
    memory = None
    if "made_theta" in arrays:
        step = int(arrays["made_step"])
        theta = torch.from_numpy(arrays["made_theta"]).to(device)
        origin = Origin(theta, step, float(arrays["made_shift"]))
        first_count, extra_total, second_extra = (int(count) for count in arrays["counts"])
        memory = solver.rebuild(
            map, samples(step), origin, float(arrays["shift"]),
            first_count=None if first_count == _NONE else first_count, extra_total=extra_total,
            second_extra=None if second_extra == _NONE else second_extra,
        )  # fmt: skip
    remembered = {
        name.removeprefix(_SCHEME): torch.from_numpy(array).to(device)
        for name, array in arrays.items()
        if name.startswith(_SCHEME)
    }
    return WarmStart(memory, scheme.load_state_dict(remembered))


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
