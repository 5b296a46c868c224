"""As much of JSON schema as the schema of run files uses."""

from __future__ import annotations

from typing import Any

_TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float),
    "null": type(None),
}  # fmt: skip
_USED = {
    "$ref", "type", "const", "enum", "anyOf", "required", "properties", "additionalProperties",
    "items", "minItems", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "if",
    "then", "not",
}  # fmt: skip
_ANNOTATIONS = {"$schema", "$defs", "default", "description", "unit"}


def fits(value: Any, schema: Any, root: Any | None = None) -> bool:
    """Whether a value is valid. Errors: `AssertionError` for a keyword not known here."""
    root = schema if root is None else root
    unknown = set(schema) - _USED - _ANNOTATIONS
    assert not unknown, unknown
    if "$ref" in schema:
        definition = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        if not fits(value, definition, root):
            return False
    if "if" in schema and fits(value, schema["if"], root) and not fits(value, schema["then"], root):
        return False
    if "not" in schema and fits(value, schema["not"], root):
        return False
    if "anyOf" in schema and not any(fits(value, each, root) for each in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    return _simple(value, schema) and _parts(value, schema, root)


def _simple(value: Any, schema: Any) -> bool:
    if "const" in schema and value != schema["const"]:
        return False
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = schema.get("type")
    if kind == "integer" and not (number and float(value).is_integer()):
        return False
    if kind == "number" and not number:
        return False
    if kind in _TYPES and not isinstance(value, _TYPES[kind]):
        return False
    return not number or not (
        value < schema.get("minimum", value)
        or value > schema.get("maximum", value)
        or ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"])
        or ("exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"])
    )


def _parts(value: Any, schema: Any, root: Any) -> bool:
    if isinstance(value, list):
        enough = len(value) >= schema.get("minItems", 0)
        return enough and all(fits(each, schema.get("items", {}), root) for each in value)
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    if not all(key in value for key in schema.get("required", ())):
        return False
    if schema.get("additionalProperties") is False and not set(value) <= set(known):
        return False
    return all(fits(each, known.get(key, {}), root) for key, each in value.items())
