"""Ĝ at fixed addresses: linearisations, weights and preconditioner that are filled anew for every
system of a run, so that all its solves replay one recorded iteration."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ReferenceType, ref

from torch import Tensor

from ..ensemble import Ensemble
from ..in_place import duplicate, overwrite, signature
from ..krylov import Iteration
from ..maps import Linearization, Linearizer, PushForward
from ..matrix_field import MatrixField
from .preconditioner import Preconditioner
from .product import GramProduct


class StandingGram:
    """One place for the operators of a run, which lends it to one after another.

    It serves a map and chunks of certain lengths, and begins anew with others. The iteration is
    recorded once for each of these, and for each shape of preconditioner."""

    product: GramProduct
    """v ↦ Ĝv of the operator to which the place is lent."""

    def __init__(self) -> None:
        self._map: PushForward | None = None
        self._sizes: Sequence[Sequence[int]] = ()
        self._linearizer: Linearizer | None = None
        self._chunks: list[Linearization] = []
        self._weights: list[MatrixField | None] = []
        self._signature: object = None
        self._lent: ReferenceType[object] | None = None
        self._iteration: Iteration | None = None
        self._held: Preconditioner | None = None
        self._taken: Preconditioner | None = None

    def prepare(self, map: PushForward, ensemble: Ensemble) -> bool:
        """Take over the present parameters of a map; whether linearisations may be had here.

        They may not be recorded where the map asks something of autograd, or the ranks cannot be
        summed over in a graph; the place may still be lent; and it is not worth while for samples
        of which some have been left out, as others are in the next step."""
        taken = self._lent is not None and self._lent() is not None
        if taken or ensemble.left_out or not ensemble.communicator.capturable:
            return False
        if self._linearizer is None or self._map is not map or self._sizes != ensemble.sizes:
            self._begin(map, ensemble)
        elif self._linearizer.capturable:
            self._linearizer.refill(map)
        assert self._linearizer is not None
        return self._linearizer.capturable

    def _begin(self, map: PushForward, ensemble: Ensemble) -> None:
        # What is no longer wanted is freed before a budget for the new is taken from what is free.
        self._iteration = self._held = self._taken = self._signature = self._linearizer = None
        self._chunks, self._weights = [], []
        if "product" in vars(self):
            del self.product
        self._map, self._sizes, self._linearizer = map, ensemble.sizes, map.linearizer()

    def linearize(self, k: int, z: Tensor, budget: int | None) -> Linearization:
        """The linearisation at the samples of chunk k, (n_chunk, d); see `Linearizer.linearize`.
        What of it is kept is decided once."""
        assert self._linearizer is not None
        if k == len(self._chunks):
            self._chunks.append(self._linearizer.linearize(z.clone(), budget=budget))
        else:
            self._chunks[k].refill(z)
        return self._chunks[k]

    def lend(self, operator: object, weights: list[MatrixField | None], ensemble: Ensemble) -> None:
        """Lend the place to an operator, as long as it lives. `weights`: those of its chunks."""
        self._lent = ref(operator)
        if self._signature != signature(weights):
            self._signature, self._weights = signature(weights), duplicate(weights)
            self.product = GramProduct(
                self._chunks, self._weights, ensemble.communicator, ensemble.total
            )
            self._iteration = self._held = self._taken = None
        else:
            overwrite(self._weights, weights)

    def iteration(self, b: Tensor, preconditioner: Preconditioner | None) -> Iteration:
        """The iteration of MINRES with a preconditioner, for right-hand sides like b, (p,)."""
        if self._iteration is None or signature(preconditioner) != signature(self._held):
            self._held = duplicate(preconditioner)
            self._iteration = Iteration(self.product, b, self._held, recorded=True)
        elif preconditioner is not self._taken:
            overwrite(self._held, preconditioner)
        self._taken = preconditioner
        return self._iteration
