"""Which layers of a map are on its outputs, and which are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..maps import ParameterLayer


class Roles(NamedTuple):
    """The layers by number."""

    outer: int
    """The outermost on outputs, whose M is I."""
    inner: Sequence[int]
    """The others on outputs."""
    hidden: Sequence[int]
    """All others."""


def roles_of(layers: Sequence[ParameterLayer]) -> Roles | None:
    """What the layers of a map are; None where the last is not on outputs."""
    outputs = [k for k, layer in enumerate(layers) if layer.on_outputs]
    if not layers[-1].on_outputs:
        return None
    hidden = [k for k in range(len(layers)) if k not in outputs]
    return Roles(outputs[-1], outputs[:-1], hidden)
