"""Butcher tableaux of explicit Runge–Kutta schemes, checked for consistency when they are made.

Source of all schemes: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential
Equations I, 2nd ed. (1993), Ch. II; bosh32: P. Bogacki, L. F. Shampine, Appl. Math. Lett. 2
(1989) 321.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tableau:
    """The explicit scheme y₊ = y + h Σ b_i k_i, k_i = f(y + h Σ_{j<i} a_ij k_j), of s stages.

    Errors: `ValueError` where the numbers of stages differ, a row of a does not sum to its c_i, the
    weights do not sum to 1, or the error weights not to 0.
    """

    name: str
    """The name by which run files choose it."""
    order: int
    """The order of convergence."""
    a: tuple[tuple[float, ...], ...]
    """The rows of a_ij, j < i, of the stages after the first."""
    b: tuple[float, ...]
    """The weights b_i, (s,)."""
    c: tuple[float, ...]
    """The nodes c_i = Σ_j a_ij, (s,)."""
    error: tuple[float, ...] | None = None
    """b − b̂ with weights b̂ of the order below, (s,); None for a scheme without error estimate."""

    def __post_init__(self) -> None:
        stages = len(self.b)
        rows = ((), *self.a)
        if len(rows) != stages or len(self.c) != stages:
            raise ValueError(
                f"{self.name}: {len(rows)} rows and {len(self.c)} nodes for {stages} stages"
            )
        for i, (row, node) in enumerate(zip(rows, self.c, strict=True)):
            if len(row) != i or not math.isclose(sum(row), node, abs_tol=1e-15):
                raise ValueError(f"{self.name}: row {i} does not sum to its node {node}")
        if not math.isclose(sum(self.b), 1.0, abs_tol=1e-15):
            raise ValueError(f"{self.name}: the weights sum to {sum(self.b)}, not to 1")
        if self.error is not None and (
            len(self.error) != stages or not math.isclose(sum(self.error), 0.0, abs_tol=1e-15)
        ):
            raise ValueError(f"{self.name}: the error weights do not sum to 0")


EULER = Tableau("euler", 1, (), (1.0,), (0.0,))
HEUN = Tableau("heun", 2, ((1.0,),), (1 / 2, 1 / 2), (0.0, 1.0), (-1 / 2, 1 / 2))
# Kutta's third-order rule with the midpoint rule inside it.
KUTTA32 = Tableau(
    "kutta32", 3, ((1 / 2,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), (0.0, 1 / 2, 1.0),
    (1 / 6, -1 / 3, 1 / 6),
)  # fmt: skip
BOSH32 = Tableau(
    "bosh32", 3, ((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)), (2 / 9, 1 / 3, 4 / 9, 0.0),
    (0.0, 1 / 2, 3 / 4, 1.0), (-5 / 72, 1 / 12, 1 / 9, -1 / 8),
)  # fmt: skip
RK4 = Tableau(
    "rk4", 4, ((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    (0.0, 1 / 2, 1 / 2, 1.0),
)  # fmt: skip

TABLEAUX = {tableau.name: tableau for tableau in (EULER, HEUN, KUTTA32, BOSH32, RK4)}
