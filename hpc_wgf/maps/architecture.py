"""The description of a map without its parameters, as JSON that a store holds; and back.

The frozen maps of a run are built anew when the run is resumed or read. Their descriptions and
parameters are enough for that, so that a store holds no code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from ..errors import InputError
from .affine import Affine
from .base import PushForward, not_built_in
from .block import BlockFlow
from .composition import Composition
from .convex import ConvexGradient
from .neural_ode import NeuralODE
from .perceptron import ResidualPerceptron
from .periodic import PeriodicMap
from .planar import PlanarFlow
from .radial import RadialFlow
from .radial_basis import RadialBasis
from .real_nvp import RealNVP
from .scaling import Scaling
from .softmax import SoftmaxGates
from .spline import AxisSpline
from .velocity_flow import VelocityFlow

Description = Mapping[str, Any]

_KINDS: dict[str, Callable[[Description], PushForward]] = {
    "affine": lambda d: Affine(d["dimension"]),
    "scaling": lambda d: Scaling(d["dimension"]),
    "planar": lambda d: PlanarFlow(d["dimension"], d["layers"]),
    "block": lambda d: BlockFlow(d["dimension"], d["width"]),
    "perceptron": lambda d: ResidualPerceptron(d["dimension"], tuple(d["widths"])),
    "convex": lambda d: ConvexGradient(d["dimension"], d["width"]),
    "real-nvp": RealNVP.rebuilt,
    "neural-ode": NeuralODE.rebuilt,
    "softmax": SoftmaxGates.rebuilt,
    "spline": AxisSpline.rebuilt,
    "radial": RadialFlow.rebuilt,
    "rbf": RadialBasis.rebuilt,
    "periodic": PeriodicMap.rebuilt,
    "velocity-flow": VelocityFlow.rebuilt,
    "composition": lambda d: Composition(*(_make(part) for part in d["parts"])),
}


def described(map: PushForward) -> str:
    """JSON from which `rebuilt` builds a map of the same kind and size; for a user's own map, JSON
    of the kind "user" with the map's `repr`, which `rebuilt` refuses."""
    try:
        return described_built_in(map)
    except InputError:
        return json.dumps({"kind": "user", "words": repr(map)})


def described_built_in(map: PushForward) -> str:
    """JSON from which `rebuilt` builds a map of the same kind and size.

    Errors: `InputError` for a user's own map, which plain data cannot describe: also for one that
    inherits from a built-in map, as the map made from that description would be another.
    """
    architecture = map.architecture()
    for given, made in zip(map.modules(), _make(architecture).modules(), strict=False):
        if type(given) is not type(made):
            raise InputError(not_built_in(given))
    return json.dumps(architecture)


def kinds_of(map: PushForward) -> str:
    """The kinds of the built-in maps that a map is made of, in the order in which they act, equal
    ones counted: "affine + 2 × block"; "user" for a user's own."""
    description = json.loads(described(map))
    kinds = [part["kind"] for part in description.get("parts", [description])]
    counted = [(kind, len(list(same))) for kind, same in groupby(kinds)]
    return " + ".join(kind if count == 1 else f"{count} × {kind}" for kind, count in counted)


def rebuilt(text: str) -> PushForward:
    """The map that `described` has described.

    Its parameters are initial values and not those of the map described: set them by
    `PushForward.set_theta`.

    Errors: `InputError` for a damaged description, or a kind of map that cannot be built.
    """
    try:
        description = json.loads(text)
        return _make(description)
    except InputError:
        raise
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
