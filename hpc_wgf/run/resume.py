"""Whether a run that is to go on is the one that a store holds, and where it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..checks import learned_digest, rounding
from ..choices import Codec, Metric, Route, Stream
from ..diagnostics import Judge, Look
from ..errors import InputError, StepFailed
from ..methods.base import State
from ..parallel import agreed
from ..problems.descriptions import in_short_form
from ..pushed import map_of_row, map_state
from ..store import Checkpoint, StoredRun
from .loop import METHOD_STATE
from .provenance import Identity

_TF32 = 2.0**-10  # its epsilon: a run may go on where there is no GPU


def check_same_run(stored: StoredRun, given: Identity) -> None:
    """Errors: `InputError` where going on would not be the same run."""
    described, kept = given.described(), stored.attributes["objects"]
    other = [
        f"{name}: stored {kept.get(name)}, given {described.get(name)}"
        for name in {**kept, **described}
        if in_short_form(kept.get(name, "")) != in_short_form(described.get(name, ""))
    ]
    other += _other_figures(stored, given)
    other += _otherwise_configured(stored.attributes["configuration"], given.configuration)
    if stored.rows:
        initial = torch.from_numpy(stored.theta(0))
        theta0 = given.setting.map.get_theta().cpu()
        if initial.shape != theta0.shape or not torch.equal(initial, theta0):
            other.append(
                f"initial parameters: stored {initial.numel()}, given {theta0.numel()}, "
                "not the same"
            )
    if other:
        raise InputError(
            f"{stored.path} holds another run, which cannot be resumed as this one:\n  "
            + "\n  ".join(other)
        )
    problem = given.setting.problem
    time = float(stored.last("time")) if stored.rows else problem.start_time
    if problem.until < time:
        raise InputError(
            f"{stored.path} has already reached t = {time:g}: resume it to a later time than "
            f"{problem.until:g}"
        )


def _other_figures(stored: StoredRun, given: Identity) -> list[str]:
    """Figures that one of the two has not, as where another version wrote the store."""
    kept, present = (
        {column.key for column in columns} for columns in (stored.columns, given.columns)
    )
    if kept == present:
        return []
    return [
        f"figures: stored without {sorted(present - kept)}, given without "
        f"{sorted(kept - present)}: resume it with the version that wrote it"
    ]


def resumed_notes(stored: StoredRun, given: Identity) -> list[str]:
    """What a run that goes on is to be told: whether what is learned from the same samples has
    other bits now. Earlier stores do not say what it was."""
    kept = stored.attributes.get("learned_digest")
    if kept in (None, learned_digest(given.setting.problem)):
        return []
    return [
        "what is learned from samples differs in rounding from what the run began with, as on "
        "another kind of machine: it goes on with slightly other numbers, not bit for bit"
    ]


_BEFORE: Mapping[str, Mapping[str, object]] = {
    "output": {"particles_every": 1, "codec": Codec.ZSTD.value},
    "method": {
        "stream": Stream.NUMPY.value,
        "metric": Metric.PULLBACK.value,
        "epsilon": 0.1,
        "functions": None,
        "gradient_error": False,
    },
}
"""Keys that older stores do not have, by table, as it was before there were such."""
_MAY_DIFFER = (("problem", "until"), ("output", "bound"))
"""Keys of a run file: the end, and what the layout of the store keeps."""


def _otherwise_configured(
    stored: Mapping[str, Any] | None, given: Mapping[str, Any] | None
) -> list[str]:
    """What is stored otherwise than a run file says, but for the end of the run."""
    if stored is None or given is None:
        return []
    # Older stores know of no stages, and of fewer keys.
    kept = {**stored, **{table: {**keys, **stored[table]} for table, keys in _BEFORE.items()}}
    other = [
        f"{table}.{key}: stored {kept[table].get(key)}, given {value}"
        for table in ("problem", "method", "output", "stages")
        if table in kept
        for key, value in given[table].items()
        if (table, key) not in _MAY_DIFFER and kept[table].get(key) != value
    ]
    if stored["map"] != given["map"]:
        other.append(f"map: stored {stored['map']}, given {given['map']}")
    return other


def check_same_values(stored: StoredRun, given: Identity, judge: Judge) -> None:
    """Whether map, energy, mobility and drift give at the last stored row what they gave then:
    names do not tell whether a user's function is still the same. Collective.

    Errors: `InputError` where particles, energy or E|P f − b|² differ by more than rounding."""
    if stored.rows == 0:
        return
    communicator = given.setting.communicator
    with agreed(communicator):
        rows = stored.particle_rows
        last, with_particles = stored.rows - 1, int(rows[-1])
        kept = stored.particles(len(rows) - 1, given.setting.evaluation.span)
        before = float(stored.last("energy"))
    look = _look_again(stored, given, judge, last)
    x = look.x if with_particles == last else _look_again(stored, given, judge, with_particles).x
    positions = given.setting.evaluation.ensemble.spread(x)
    energies = judge.energy_spread(look)
    squares = given.setting.evaluation.ensemble.spread(look.force_squares[:, None])
    with agreed(communicator):
        options = given.options
        tf32 = getattr(options, "tf32", False)
        precision = _TF32 if tf32 else torch.finfo(options.torch_dtype).eps
        apart = np.abs(x.cpu().numpy() - kept).max(initial=0.0)
        coarse = max(precision, stored.particle_precision)
        if not apart <= rounding(coarse, positions, np.abs(kept).max(initial=0.0)):
            raise InputError(
                _other_values(stored, f"the map now puts its samples up to {apart:.3g} elsewhere")
            )
        # Batches hold more particles on a GPU, where the run may have begun.
        estimated = Route.BATCHES.value in " ".join(given.routes())
        close = abs(look.energy - before) <= rounding(precision, energies, abs(before))
        if not estimated and not close:
            raise InputError(
                _other_values(stored, f"its energy was {before:.12g} and now is {look.energy:.12g}")
            )
        # The energy tells nothing of mobility and drift.
        moved, plain = float(stored.last("force_square_fresh")), given.setting.problem.at().is_plain
        close = abs(look.force_square - moved) <= rounding(precision, squares, abs(moved))
        if not (plain or estimated or math.isnan(moved) or close):
            raise InputError(
                _other_values(
                    stored, f"E|P f − b|² was {moved:.12g} and now is {look.force_square:.12g}"
                )
            )


def _look_again(stored: StoredRun, given: Identity, judge: Judge, row: int) -> Look:
    """What the judge finds at a stored row. Collective. Errors: `InputError`."""
    with agreed(given.setting.communicator):
        map, time = map_of_row(stored, given.setting.map, row), float(stored.column("time")[row])
    try:
        return judge.look(map, torch.zeros_like(map.theta), time=time)
    except StepFailed as failure:
        raise InputError(_other_values(stored, f"there {failure}")) from failure


def _other_values(stored: StoredRun, found: str) -> str:
    return (
        f"{stored.path} holds another run: at its last row, t = {float(stored.last('time')):g}, "
        f"{found}. Give the map, the energy, the start, mobility and drift with which it began"
    )


def last_checkpoint(stored: StoredRun, until: float) -> Checkpoint | None:
    """Where the stored run can be taken up to go to `until`: where it was stopped, or else at its
    last row. None where it has no row. Errors: `InputError` for a damaged checkpoint."""
    if stored.rows == 0:
        return None
    checkpoint = stored.checkpoint()
    if checkpoint is not None and checkpoint.time <= until:
        return checkpoint
    return Checkpoint(
        time=float(stored.last("time")),
        step=int(stored.last("steps_taken")),
        step_size=float(stored.last("next_step_size")),
        last_error=float(stored.last("controller_error")),
        wall_seconds=float(stored.last("wall_seconds")),
        theta=_theta_to_go_on(stored),
    )


def _theta_to_go_on(stored: StoredRun) -> np.ndarray:
    """Of the last row; or, where a new stage begins there, its initial parameters."""
    last = stored.rows - 1
    newest = len(stored.stages) - 1
    if newest > 0 and stored.stages[newest].row == last:
        return stored.initial_theta(newest)
    return stored.theta(last)


def state_at(checkpoint: Checkpoint, stored: StoredRun, given: Identity) -> State[Any]:
    """The state that was kept; collective, as what its solves remember is made again."""
    kept = checkpoint.memory.get(METHOD_STATE)
    if kept is None:
        kept = stored.method_state(stored.rows - 1)
    device = given.setting.communicator.device
    newest = len(stored.stages) - 1
    map = map_state(stored, given.setting.map, newest, torch.from_numpy(checkpoint.theta))
    map = map.moved(map.theta.to(device))
    return State(
        time=checkpoint.time,
        map=map,
        step=checkpoint.step,
        step_size=checkpoint.step_size,
        last_error=checkpoint.last_error,
        memory=given.method.load_state_dict(checkpoint.memory, map),
        kept=None if kept is None else torch.from_numpy(kept).to(device),
    )
