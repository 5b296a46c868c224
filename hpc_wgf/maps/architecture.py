"""What a map is, apart from its parameters: as plain data that a store holds, and back.

A frozen map of a run has to be made again when the run is resumed or read. Together with its
parameters the description is enough, so that no code has to be stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InputError
from .affine import Affine
from .base import PushForward
from .block import BlockFlow
from .composition import Composition
from .perceptron import ResidualPerceptron
from .planar import PlanarFlow

Description = Mapping[str, Any]

_KINDS: dict[str, Callable[[Description], PushForward]] = {
    "affine": lambda d: Affine(d["dimension"]),
    "planar": lambda d: PlanarFlow(d["dimension"], d["layers"]),
    "block": lambda d: BlockFlow(d["dimension"], d["width"]),
    "perceptron": lambda d: ResidualPerceptron(d["dimension"], tuple(d["widths"])),
    "composition": lambda d: Composition(*(_make(part) for part in d["parts"])),
}


def described(map: PushForward) -> str:
    """The map as JSON, from which `rebuilt` makes it again; for one of a user's, which plain data
    cannot describe, its words."""
    try:
        return json.dumps(map.architecture())
    except InputError:
        return json.dumps({"kind": "user", "words": repr(map)})


def rebuilt(text: str) -> PushForward:
    """The map that `described` has put into words, at initial parameters of no meaning.

    Errors: `InputError` where this version cannot make such a map.
    """
    try:
        description = json.loads(text)
        return _make(description)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the description of a map is damaged ({type(error).__name__}: {error}): {text!r}"
        ) from error


def _make(description: Description) -> PushForward:
    kind = description.get("kind")
    if kind not in _KINDS:
        raise InputError(
            f"a map of kind {kind!r} cannot be made from its description: give the map itself, "
            f"or use one of {', '.join(_KINDS)}"
        )
    return _KINDS[kind](description)
