"""Errors in plain words: the value given, what was expected, and the nearest known name."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda c: "a whole number",
    "int_parsing": lambda c: "a whole number",
    "int_parsing_size": lambda c: "a whole number below 2^63 in size",
    "int_from_float": lambda c: "a whole number",
    "float_type": lambda c: "a number",
    "float_parsing": lambda c: "a number",
    "finite_number": lambda c: "a finite number",
    "bool_type": lambda c: "true or false",
    "string_type": lambda c: "text in quotes",
    "list_type": lambda c: "a list",
    "model_type": lambda c: "a table",
    "model_attributes_type": lambda c: "a table",
    "dataclass_type": lambda c: "a table",
    "dataclass_exact_type": lambda c: "a table",
    "dict_type": lambda c: "a table",
    "greater_than": lambda c: f"more than {c['gt']:g}",
    "greater_than_equal": lambda c: f"at least {c['ge']:g}",
    "less_than": lambda c: f"less than {c['lt']:g}",
    "less_than_equal": lambda c: f"at most {c['le']:g}",
    "enum": lambda c: _one_of(c["expected"]),
    "literal_error": lambda c: _one_of(c["expected"]),
    "too_short": lambda c: f"at least {c['min_length']} in the list",
}


def explain(place: str, detail: ErrorDetails) -> str:
    """One line on one of pydantic's errors: where, the value given there, and what is expected.

    `place`: the key, as "method.samples"; `detail`: an entry of `ValidationError.errors()`.
    """
    kind, given, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "missing":
        return f"{place}: missing; `hpc-wgf keys` tells what it may be"
    if kind == "value_error":  # raised by a validator of this package, and complete by itself
        return f"{place}: {context['error']}" if place else str(context["error"])
    if kind == "unexpected":  # raised by `unexpected` of this package
        return f"{place} = {shown(given)}: expected {context['expected']}"
    expected = _EXPECTED[kind](context) if kind in _EXPECTED else "what `hpc-wgf keys` tells"
    return f"{place} = {shown(given)}: expected {expected}{_as_number(kind, given)}"


def _as_number(kind: str, given: Any) -> str:
    """A hint for text where a number is expected, as for '.5', which is no number in TOML."""
    if kind not in ("int_type", "float_type") or not isinstance(given, str):
        return ""
    try:
        number = float(given)
    except ValueError:
        return ""
    whole = kind == "int_type" and number.is_integer()
    return f", without quotes and as {int(number) if whole else number!r}"


def _one_of(expected: str) -> str:
    """What is expected, from pydantic's "'a', 'b' or 'c'"."""
    names = expected.replace(" or ", ", ")
    return f"one of {names}" if "," in names else names


def shown(value: Any) -> str:
    """The value as one writes it in a run file, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits.
        text = "a whole number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def nearest(given: str, known: Sequence[str], *, cutoff: float = 0.5) -> str:
    """A hint such as ", did you mean 'step'?" where a known name resembles the one given, else "".

    `cutoff`: the least similarity that counts, between 0 and 1 (see `difflib`).
    """
    found = difflib.get_close_matches(given, known, n=1, cutoff=cutoff)
    return f", did you mean {found[0]!r}?" if found else ""
