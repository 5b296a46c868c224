"""Public names that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

TYPE_CHECKING = False  # `typing` may not be imported before `__main__` has set the search path.
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def names_on_demand(package: str, modules: Sequence[str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package that can then be imported without torch.

    `package`: its name. `modules`: of the package, which define or export the names in its
    `__all__`. They are tried in this order: those without torch come first, then what a run needs.
    """

    def __getattr__(name: str) -> Any:
        if name in sys.modules[package].__all__:
            for module in modules:
                found = import_module(f"{package}.{module}")
                if _exports(found, name):
                    return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__


def _exports(module: ModuleType, name: str) -> bool:
    """Whether a module says that a name is its own, and has not only imported it for its use."""
    if hasattr(module, "__all__"):
        return name in module.__all__
    return getattr(getattr(module, name, None), "__module__", None) == module.__name__
