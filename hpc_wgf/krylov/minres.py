"""MINRES for (A + σI) x = b, A symmetric: definite, indefinite or singular.

Every iterate minimises ‖b − (A + σI) x‖ over the Krylov space; with a preconditioner M the norm is
that of M⁻¹. For a consistent singular system without one the limit is the minimum-norm solution.

Sources: C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12 (1975) 617; the preconditioned
recurrence as in S.-C. T. Choi, C. C. Paige, M. A. Saunders, SIAM J. Sci. Comput. 33 (2011) 1810.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..accounts import Part, counted, part
from ..errors import InputError
from ..gpu import availability
from . import recurrence
from .graph import Replayed
from .on_host import HostIteration
from .operator import LinearOperator, Preconditioner
from .recurrence import PLACES, Lanczos, Seen, Steps
from .stats import EarlyStopping, SolveStats, Status, check_rtol, dot


class Iteration:
    """The iteration of MINRES for one operator and preconditioner: a step, and its state, all of it
    on the device of the vectors.

    It may serve solves one after another while both keep their addresses, however their numbers
    change. With `recorded` it is replayed as a CUDA graph, which pays from a few solves on: both
    must then be recordable.
    """

    def __init__(
        self, A: LinearOperator, like: Tensor, preconditioner: Preconditioner | None = None, *,
        recorded: bool = False,
    ) -> None:  # fmt: skip
        """`like`: a vector of the size, dtype and device of right-hand sides."""
        self._precondition = preconditioner or _identity
        self.state = Lanczos.like(like)
        steps = _steps_on(like.device)
        self.advance: Callable[[], None] = partial(
            _advance, A, self.state, self._precondition, steps
        )
        if recorded and steps is not recurrence:  # whose σ is a number of Python
            self.advance = Replayed(self.advance, like.device)

    def begin(self, b: Tensor, shift: float) -> None:
        """Start at x = 0 for (A + σI) x = b."""
        with part(Part.PRECONDITIONING):
            y = self._precondition(b)
        self.state.begin(b, y, dot(b, y).sqrt(), dot(b, b), shift)

    @property
    def x(self) -> Tensor:
        """The iterate, (p,)."""
        return self.state.x

    def look(self) -> Seen:
        """What a check reads of the recurrences, by one synchronisation."""
        read = dict(zip(PLACES, self.state.scalars.vector.tolist(), strict=True))
        names = ("residual", "beta", "norm_b", "norm_ar", "norm_a", "phibar")
        return Seen.of(self.state.x.dtype, **{name: read[name] for name in names})


@counted(Part.RECURRENCE)
def minres(
    A: LinearOperator,
    b: Tensor,
    *,
    rtol: float = 1e-5,
    max_steps: int = 1000,
    shift: float = 0.0,
    preconditioner: Preconditioner | None = None,
    check_every: int = 1,
    early_stopping: EarlyStopping | None = None,
    iteration: Iteration | None = None,
) -> tuple[Tensor, SolveStats]:
    """Solve (A + σI) x = b to ‖b − (A + σI) x‖ ≤ rtol ‖b‖, from x = 0.

    b, x: (p,). `preconditioner`: v ↦ M⁻¹v, symmetric positive definite; the tolerance is on the
    Euclidean norm all the same. `max_steps`: the largest number of products with A, those of
    checks included. `check_every`: iterations between two checks of the residual, which alone make
    the host wait. `early_stopping`: updated at every check; it may end the iteration, and x is then
    the best iterate that it has been given. `iteration`: one of A and the preconditioner that has
    served other solves; by default a new one.

    A solve that has converged by its recurrences is checked by recomputing the residual, at one
    product; where that is above the tolerance, the iteration goes on to a smaller target.
    `SolveStats` tells how the solve ended.

    Errors: `InputError` for rtol below ten machine epsilons of b's precision or not below 1, for
    `max_steps` < 2 or `check_every` < 1.
    """
    check_rtol(rtol, b.dtype)
    if max_steps < 2 or check_every < 1:
        raise InputError("max_steps must be at least 2, and check_every at least 1")
    own = iteration or _iteration(A, b, preconditioner)
    own.begin(b, shift)
    target, best, steps, products = rtol, float("inf"), 0, 0

    def end(status: Status, claimed: float, true: float) -> tuple[Tensor, SolveStats]:
        x = own.x if iteration is None else own.x.clone()
        return x, SolveStats(status, products, claimed, true)

    while True:
        own.advance()
        steps, products = steps + 1, products + 1
        exhausted = products >= max_steps - 1
        if steps % check_every and not exhausted:
            continue
        seen = own.look()
        norm_b = seen.norm_b
        if norm_b == 0.0:
            return torch.zeros_like(b), SolveStats(Status.ZERO_RIGHT_HAND_SIDE, 0, 0.0, 0.0)
        claimed = seen.residual / norm_b
        if not (claimed < float("inf") and seen.beta < float("inf")):
            return end(Status.NOT_FINITE, claimed, float("nan"))
        held = None if early_stopping is None else early_stopping.update(own.x)
        if held is not None:
            products += 1
            true = residual(A, held, b, shift)[1] / norm_b
            return held, SolveStats(Status.VALIDATION, products, claimed, true)
        stalled = seen.at_least_squares
        if claimed > target and not exhausted and not stalled:
            continue
        products += 1
        true = residual(A, own.x, b, shift)[1] / norm_b
        if true <= rtol:
            return end(Status.CONVERGED, claimed, true)
        if stalled and claimed > target:
            return end(Status.LEAST_SQUARES, claimed, true)
        if claimed <= target and true > 0.5 * best:
            return end(Status.STAGNATED, claimed, true)
        if products >= max_steps - 1:
            return end(Status.MAX_STEPS, claimed, true)
        best, target = true, min(target, 0.5 * claimed * rtol / true)


def _iteration(
    A: LinearOperator, like: Tensor, preconditioner: Preconditioner | None
) -> Iteration | HostIteration:
    """One for a single solve, with its scalars where the vectors are."""
    if like.device.type == "cpu":
        return HostIteration(A, like, preconditioner or _identity)
    return Iteration(A, like, preconditioner)


def _identity(v: Tensor) -> Tensor:
    return v


def _advance(A: LinearOperator, s: Lanczos, precondition: Preconditioner, steps: Steps) -> None:
    """One iteration: a Lanczos step, a plane rotation, and the update of x; one product."""
    steps.normalise(s)
    y = A.matvec(s.v)
    steps.orthogonalise(s, y)
    alpha = dot(s.v, y)
    steps.exchange(s, y, alpha)
    with part(Part.PRECONDITIONING):
        s.y.copy_(precondition(s.r2))
    steps.rotate(s, alpha, dot(s.r2, s.y))
    steps.move(s)
    s.scalars.residual.copy_(dot(s.r, s.r))


def _steps_on(device: torch.device) -> Steps:
    """Those that are one kernel each, where Triton works on a GPU."""
    if availability.usable(device):
        from . import fused

        return fused
    return recurrence


def residual(A: LinearOperator, x: Tensor, b: Tensor, shift: float) -> tuple[Tensor, float]:
    """r = b − (A + σI) x, (p,), and ‖r‖; one product."""
    r = b - A.matvec(x)
    if shift:
        r.sub_(x, alpha=shift)
    return r, float(dot(r, r).sqrt())
