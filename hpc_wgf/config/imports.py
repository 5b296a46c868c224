"""Objects of a user's own modules, given by their import path."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import InputError


def load_object(path: str, what: str) -> Any:
    """The object at `path`, "module:name", imported from the working directory or the environment.

    `what`: what the object is for, as errors say it, e.g. "a kernel". Errors: `InputError` where
    the path has another form, the module cannot be imported, or it has no such name.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise InputError(f'{path!r} does not name {what}: write "module:name"')
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"cannot import {module!r} for {what}: {error}. Run from the folder that holds it, "
            "or add that folder to PYTHONPATH"
        ) from error
    except Exception as error:
        raise InputError(
            f"importing {module!r} for {what} failed: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(found, name):
        raise InputError(f"module {module!r} has no {name!r} ({what})")
    return getattr(found, name)
