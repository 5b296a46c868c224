"""Problems of benchmarks, whose steps and solves are those of one method."""

from __future__ import annotations

from ..config import RunSpec, load_problem
from ..errors import InputError
from ..methods.pwgf import PWGFOptions


def pwgf_problem(name: str, *settings: str) -> RunSpec:
    """As `load_problem`. Errors: `InputError` where another method than pwgf solves the problem."""
    spec = load_problem(name, *settings)
    if not isinstance(spec.method, PWGFOptions):
        raise InputError(
            f"benchmarks are of the method pwgf, and {name} is solved by {spec.method.kind}: give "
            "another problem, or --set method.kind=pwgf"
        )
    return spec
