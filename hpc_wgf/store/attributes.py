"""Attributes of a store's group: numbers and strings, which netCDF can hold too, and digests.

What is nested, a list or None is kept as JSON; the attribute `json` names those that are. One
digest is over the documents of the arrays, the other over all attributes, the first digest among
them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST, ARRAYS_DIGEST = "digest", "arrays_digest"
NEEDED: Mapping[str, tuple[type, ...]] = {
    "problem": (str,), "dimension": (int,), "until": (int, float), "ranks": (int,),
    "samples": (int,), "parameters": (int,), "versions": (dict,), "layout": (dict,),
    "objects": (dict,), "configuration": (dict, type(None)),
}  # fmt: skip
"""Attributes of every run, with their types."""

_JSON = "json"


def encoded(attributes: Mapping[str, Any]) -> dict[str, str | int | float]:
    """As they are stored, without a digest."""
    plain = {name: value for name, value in attributes.items() if _is_plain(value)}
    nested = {name: value for name, value in attributes.items() if name not in plain}
    texts = {name: json.dumps(value) for name, value in nested.items()}
    return {**plain, **texts, _JSON: " ".join(sorted(nested))}


def decoded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What was given to `encoded`. Errors: `ValueError` where the JSON is damaged."""
    nested = set(str(stored.get(_JSON, "")).split())
    return {
        name: json.loads(value) if name in nested else value
        for name, value in stored.items()
        if name not in (_JSON, DIGEST, ARRAYS_DIGEST)
    }


def sealed(attributes: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Encoded attributes with the digests of themselves and of the arrays' documents."""
    both = {**attributes, ARRAYS_DIGEST: _sha256(arrays)}
    return {**both, DIGEST: digest(both)}


def broken_seal(stored: Mapping[str, Any], arrays: Mapping[str, Any]) -> str | None:
    """What is not as it was written, in words; None where all is. Stores of earlier versions have
    no digest of their arrays."""
    if stored.get(DIGEST) != digest(stored):
        return "its attributes are not those that were written, the digest differs"
    if stored.get(ARRAYS_DIGEST) not in (None, _sha256(arrays)):
        return "its arrays' metadata are not those that were written, the digest differs"
    return None


def digest(stored: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of all attributes but the
    digest itself."""
    return _sha256({name: value for name, value in stored.items() if name != DIGEST})


def _sha256(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
