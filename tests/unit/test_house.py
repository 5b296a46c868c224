"""The structure of the package: imports go in one direction, and rooms keep what is private."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import hpc_wgf

_ROOT = Path(hpc_wgf.__file__).parent
# From the ground up: a package imports those before it only. Those in one row know nothing of each
# other.
_FLOORS = [
    "accounts allocator errors choices cloud columns names_on_demand integrators log matrix_field",
    "constants",
    "in_place recordings gpu periods memory user_code kinds fields references streams",
    "krylov parallel",
    "maps",
    "output stages interactions store profiling",
    "problems report",
    "ensemble",
    "gradients",
    "metric diagnostics",
    "checks",
    "methods",
    "pushed",
    "config observers",
    "run guide",
    "planning",
    "solution analysis",
    "pictures",
    "results",
    "studies",
    "bench",
    "cli",
]
_FLOOR = {package: floor for floor, row in enumerate(_FLOORS) for package in row.split()}


def modules() -> dict[str, ast.Module]:
    """Syntax trees by the module's name within the package."""
    found = {}
    for path in sorted(_ROOT.rglob("*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


# Names of torch, which has no public ones for what they do.
_OF_TORCH = {
    "_linalg_slogdet", "_linalg_solve_ex", "_cdata", "_overloadpacket", "_set_pg_timeout",
    "_base", "_version",
}  # fmt: skip
# Public in spite of their names.
_OF_PYTHON = {"_asdict", "_replace", "_exit", "_current_frames"}
MODULES = modules()
_IS_PACKAGE = {name for name in MODULES if (_ROOT / name.replace(".", "/")).is_dir()}


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """Modules of ours that a module imports, at any place in it and for any reason."""
    base = name.split(".") if name in _IS_PACKAGE else name.split(".")[:-1]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ImportFrom) and node.level):
            continue
        above = base[: len(base) - node.level + 1]
        target = ".".join([*above, *(node.module or "").split(".")]).strip(".")
        for alias in node.names:
            inner = f"{target}.{alias.name}".strip(".")
            yield inner if inner in MODULES else target


def room(name: str) -> str:
    """The package, or the single module, in which a module lies."""
    return name.split(".")[0]


GRAPH = {name: set(imported(name, tree)) - {name} for name, tree in MODULES.items()}


def test_every_room_has_a_floor():
    rooms = {room(name) for name in MODULES} - {"", "__main__"}
    assert rooms == set(_FLOOR)


def test_no_import_runs_up_or_across():
    up = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if name not in ("", "__main__")
        and room(name) != room(other)
        and (room(other) == "" or _FLOOR[room(other)] >= _FLOOR[room(name)])
    ]
    assert up == []


def test_there_is_no_circle_of_modules():
    """Not inside a package either. Package faces, which only hand names on, do not count."""
    faces = {name for name in _IS_PACKAGE if not any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) for node in MODULES[name].body
    )}  # fmt: skip
    graph = {name: others - faces for name, others in GRAPH.items() if name not in faces}
    state: dict[str, int] = {}

    def visit(name: str, path: list[str]) -> None:
        state[name] = 1
        for other in sorted(graph.get(name, ())):
            assert state.get(other) != 1, f"circle: {' → '.join([*path, name, other])}"
            if other not in state:
                visit(other, [*path, name])
        state[name] = 2

    for name in graph:
        if name not in state:
            visit(name, [])


@pytest.mark.parametrize("package", sorted(_FLOOR))
def test_private_attributes_stay_in_their_room(package):
    """An attribute with an underscore is made in the package that uses it."""
    trees = [tree for name, tree in MODULES.items() if room(name) == package]
    made = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                made.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                made.add(node.target.id)
            elif isinstance(node, ast.Assign):
                made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    used = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
        and not node.attr.startswith("__")
    }  # fmt: skip
    assert used - made - _OF_TORCH - _OF_PYTHON == set()


def test_floors_are_in_use():
    assert all(len(row.split()) == len(set(row.split())) for row in _FLOORS)
    assert all(set(low.split()).isdisjoint(high.split()) for low, high in pairwise(_FLOORS))
