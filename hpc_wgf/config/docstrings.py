"""The string literals under the fields of a class, which describe them: read from its source when
they are asked for, as that takes longer than all else of making a table."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import Any

_Described = dict[str, str]


def field_docstrings(table: type[Any]) -> _Described:
    """The descriptions of the fields of a class, and of the classes from which it has some, by the
    name of the field. A field without one is left out."""
    found: _Described = {}
    for each in reversed(table.__mro__):
        found |= _of_module(each.__module__).get(each.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> dict[str, _Described]:
    """Those of each class at the top of a module of this package."""
    if name.partition(".")[0] != __name__.partition(".")[0]:
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[name]))
    return {each.name: _of_class(each) for each in tree.body if isinstance(each, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> _Described:
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }  # fmt: skip
