"""Keys of run files in words, from pydantic models and dataclasses alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from hpc_wgf.guide.keys import keys_of

_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


class Unit(NamedTuple):
    unit: str


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(config=_DESCRIBED, frozen=True)
class Options:
    """How it is done.

    More that is not shown.
    """

    path: str | None = Field(default=None, exclude=True)
    kind: Literal["options"] = "options"
    samples: int = Field(default=4000, ge=1, json_schema_extra={"unit": "1"})
    """Of all ranks
    together."""
    step_size: Annotated[float, Unit("t")] = Field(
        default=0.05, validation_alias=AliasChoices("step", "step_size")
    )
    colour: Colour = Colour.RED
    tolerance: float | Literal["none"] | None = None
    parts: list[list[float]] = Field(default_factory=list)


class Round(BaseModel):
    """A round one."""

    kind: Literal["round"]


class Square(BaseModel):
    """A square one."""

    kind: Literal["square"]
    inner: Round | None = None
    edges: list[int]


class Root(BaseModel):
    shape: list[Annotated[Square | Round, Field(discriminator="kind")]]
    options: Options = Options()


def test_every_key_has_its_type_default_unit_and_words():
    assert keys_of(Root) == "\n".join(
        [
            "### shape.square",
            "",
            "A square one.",
            "",
            "- `inner` (table; no default)",
            "- `edges` (list of whole numbers; required)",
            "",
            "### shape.round",
            "",
            "A round one.",
            "",
            "No keys but `kind`.",
            "",
            "### options",
            "",
            "How it is done.",
            "",
            "- `samples` (whole number; default 4000; unit 1): Of all ranks together.",
            "- `step` (number; default 0.05; unit t)",
            '- `colour` ("red" or "blue"; default "red")',
            '- `tolerance` (number or "none"; no default)',
            "- `parts` (list of lists of numbers; may be left out)",
        ]
    )
