"""What a step leaves to the next, and how it is put into arrays and made again from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...ensemble import Ensemble
from ...integrators import Scheme
from ...maps import PushForward
from ...problems import Flow
from .direct import ParameterSolver
from .solver import MetricSolver
from .solver_memory import Memory, Origin

_SCHEME = "scheme/"
_NONE = -1  # of a count that is not known yet


@dataclass(frozen=True)
class WarmStart:
    """What the solves and the scheme of a step leave to the next."""

    solver: Memory | None
    """Of the last solve."""
    scheme: Any
    """Of the scheme, as an estimate of a spectral radius."""


def state_dict(warm: WarmStart | None, scheme: Scheme) -> dict[str, np.ndarray]:
    """Arrays on the host from which `load_state_dict` makes the same again, bit for bit. A
    preconditioner is not among them, which may be larger than all else, but whence it came."""
    if warm is None:
        return {}
    arrays = {
        _SCHEME + name: _array(value) for name, value in scheme.state_dict(warm.scheme).items()
    }
    if (memory := warm.solver) is not None:
        counts = (memory.first_count, memory.extra_total, memory.second_extra)
        arrays |= {
            "made_theta": _array(memory.origin.theta),
            "made_step": np.asarray(memory.origin.step),
            "made_shift": np.asarray(memory.origin.shift),
            "shift": np.asarray(memory.shift),
            "counts": np.asarray([_NONE if count is None else count for count in counts]),
        }
    return arrays


def load_state_dict(
    arrays: Mapping[str, np.ndarray], scheme: Scheme, solver: ParameterSolver, map: PushForward,
    flow: Flow, ensemble: Callable[[int], Ensemble],
) -> WarmStart | None:  # fmt: skip
    """What `state_dict` put away. `flow`: the problem's, of which the mobility enters. `ensemble`:
    the samples of a step. Collective; moves the map."""
    if not arrays:
        return None
    device = next(map.parameters()).device
    memory = None
    if "made_theta" in arrays and isinstance(solver, MetricSolver):
        step = int(arrays["made_step"])
        theta = torch.from_numpy(arrays["made_theta"]).to(device)
        origin = Origin(theta, step, float(arrays["made_shift"]))
        counts = [None if count == _NONE else int(count) for count in arrays["counts"]]
        memory = solver.rebuild(
            map, ensemble(step), flow, origin, float(arrays["shift"]),
            first_count=counts[0], extra_total=counts[1] or 0, second_extra=counts[2],
        )  # fmt: skip
    remembered = {
        name.removeprefix(_SCHEME): torch.from_numpy(array).to(device)
        for name, array in arrays.items()
        if name.startswith(_SCHEME)
    }
    return WarmStart(memory, scheme.load_state_dict(remembered))


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
