"""Attributes of a store's group: numbers and strings, which netCDF can hold too, and a digest.

What is nested, a list or None is kept as JSON; the attribute `json` names those that are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST = "digest"
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
        if name not in (_JSON, DIGEST)
    }


def sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Encoded attributes with their digest."""
    return {**attributes, DIGEST: digest(attributes)}


def digest(stored: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of all attributes but the
    digest itself."""
    others = {name: value for name, value in stored.items() if name != DIGEST}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
