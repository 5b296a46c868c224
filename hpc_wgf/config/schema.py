"""JSON schemas of run files and of their tables, derived from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from ..output import Output
from .docstrings import field_docstrings
from .index import TABLES, keys_of, tables_of
from .methods import METHODS
from .run import RunFile
from .starts import StartTable

Schema = dict[str, Any]

# pydantic leaves bounds their Python names where a validator of this package comes first.
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_BASE = {
    "type": "string",
    "description": "The named problem or run file that this one changes, key by key.",
}
_NEEDED = ["problem"]


def json_schema() -> Schema:
    """A JSON schema (draft 2020-12) of run files, for editors and other programs.

    With a base, a run file may leave out what the base says; whether both together are complete is
    found out only when the run file is read.
    """
    schema: Schema = _plain(RunFile.model_json_schema(mode="validation"))
    tables: dict[str, Schema] = schema["$defs"]
    _describe(schema, RunFile)
    for table in TABLES.values():
        _describe(tables[table.__name__], table)
    options: list[type[Any]] = [*METHODS.values(), Output]
    for table in options:
        _only_keys(tables[table.__name__], table)
    for start in tables_of(StartTable).values():  # A start may be merged into that of a base.
        tables[start.__name__].pop("required", None)
    problem = tables["ProblemTable"]
    needed = problem.pop("required")
    schema["properties"] = {"base": _BASE, **schema["properties"]}
    del schema["required"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "if": {"not": {"required": ["base"]}},
        "then": {"required": _NEEDED, "properties": {"problem": {"required": needed}}},
    }


def table_schema(table: type[Any]) -> Schema:
    """The JSON schema of one table without references; tables inside it appear as plain objects."""
    schema = _plain(TypeAdapter(table).json_schema(mode="validation"))
    definitions = schema.pop("$defs", {})
    _describe(schema, table)
    _only_keys(schema, table)
    names = {each.__name__ for each in TABLES.values()} | {RunFile.__name__}
    looked_up = {
        name: {"type": "object"} if name in names else each for name, each in definitions.items()
    }
    resolved: Schema = _resolved(schema, looked_up)
    return resolved


def _describe(schema: Schema, table: type[Any]) -> None:
    """Add what the source of a table says of its fields."""
    texts = field_docstrings(table)
    for name, key in keys_of(table).items():
        if key.attribute in texts:
            schema["properties"][name].setdefault("description", texts[key.attribute])


def _only_keys(schema: Schema, table: type[Any]) -> None:
    """Leave out fields that are not keys of run files, and add the further names of keys."""
    properties = schema["properties"]
    keys = keys_of(table)
    schema["properties"] = {
        name: properties[key.name] for key in keys.values() for name in (key.name, *key.other_names)
    }


def _plain(value: Any) -> Any:
    """The schema with bounds named as JSON schemas name them, without titles that repeat names."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    schema = {_BOUNDS.get(key, key): _plain(each) for key, each in value.items()}
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if "properties" in schema and "title" in value["properties"]:  # There is a key named "title".
        schema["properties"]["title"] = _plain(value["properties"]["title"])
    # A table with a kind fits one schema at most. One without a kind would be refused by a
    # discriminator, and by oneOf where it fits several.
    schema.pop("discriminator", None)
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
    return schema


def _resolved(value: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with every reference replaced by its definition."""
    if isinstance(value, list):
        return [_resolved(each, definitions) for each in value]
    if not isinstance(value, Mapping):
        return value
    if "$ref" in value:
        found = definitions[value["$ref"].rpartition("/")[2]]
        rest = {key: each for key, each in value.items() if key != "$ref"}
        return {**_resolved(found, definitions), **rest}
    return {key: _resolved(each, definitions) for key, each in value.items()}
