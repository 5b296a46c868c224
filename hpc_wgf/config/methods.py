"""The table `[method]`: the options of one of several methods, told apart by the key `kind`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ..methods.deep_jko import DeepJKOOptions
from ..methods.implicit import ImplicitOptions
from ..methods.primal_dual import PrimalDualOptions
from ..methods.pwgf import PWGFOptions

METHODS: dict[str, type[Any]] = {
    "pwgf": PWGFOptions,
    "implicit": ImplicitOptions,
    "primal-dual": PrimalDualOptions,
    "deep-jko": DeepJKOOptions,
}
"""The options class of every method that a run file can name, by its `kind`. A new method is
added here."""

DEFAULT_METHOD = "pwgf"
"""The kind of a table without one."""


class _OfKind:
    """Tells pydantic to choose among the classes in `METHODS` by the key `kind`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices = {kind: handler.generate_schema(options) for kind, options in METHODS.items()}
        return core_schema.tagged_union_schema(choices, discriminator=_kind)


def _kind(value: Any) -> Any:
    """The kind of options, given as a table or as an object; pwgf where a table has no `kind`."""
    if isinstance(value, dict):
        return value.get("kind", DEFAULT_METHOD)
    return getattr(value, "kind", DEFAULT_METHOD)


MethodOptions = Annotated[
    PWGFOptions | ImplicitOptions | PrimalDualOptions | DeepJKOOptions, _OfKind()
]
"""The table `[method]`: the options of the method that its `kind` names."""
