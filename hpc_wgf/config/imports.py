"""Objects of a user's own modules, given by their import path."""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated, Any

from pydantic import BaseModel

from ..errors import InputError
from ..user_code import ends_the_program, said

_IMPORTED = "imported"

ImportPath = Annotated[str, _IMPORTED]
"""A key whose value, "module:name", is imported: `imported_by` finds it."""


def load_object(path: str, what: str) -> Any:
    """The object at `path`, "module:name" or "module:name.attribute", imported from the environment
    or else from the working directory.

    `what`: what the object is for, as errors say it, e.g. "a kernel". Errors: `InputError` where
    the path has another form, the module cannot be imported, or it has no such name.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name) or "/" in module or module.endswith(".py"):
        raise InputError(
            f'{path!r} does not name {what}: write "module:name", the module as Python imports it'
        )
    with _working_folder_last():
        found = _imported(module, what)
        try:
            return operator.attrgetter(name)(found)
        except AttributeError as error:
            file = getattr(found, "__file__", None) or "built in"
            raise InputError(f"module {module!r} ({file}) has no {name!r} ({what})") from error


def imported_by(value: object) -> list[str]:
    """All import paths in the tables `value`, each once."""
    return list(dict.fromkeys(_paths(value)))


def _paths(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            yield from [inner] if _IMPORTED in field.metadata else _paths(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _paths(inner)


class _Here(str):
    """An entry of the search path that no other code has made: the working directory."""


@contextmanager
def _working_folder_last() -> Iterator[None]:
    """Modules are sought in the working directory too, after all other places, while this context
    is entered: a file there must not take the place of a library, now or later."""
    here = _Here("")
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path[:] = [place for place in sys.path if place is not here]


def _imported(module: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"cannot import {module!r} for {what}: {error}. Run from the folder that holds it, "
            "or add that folder to PYTHONPATH"
        ) from error
    except KeyboardInterrupt:
        raise
    except Exception as error:
        raise InputError(f"importing {module!r} for {what} failed: {said(error)}") from error
    except BaseException as error:
        raise InputError(f"the module {module!r} ({what}) {ends_the_program(error)}") from error
