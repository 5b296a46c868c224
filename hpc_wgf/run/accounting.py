"""The account of a run over all ranks, and over its legs, as its store keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from ..accounts import ATTRIBUTE, FIGURES, Account, Part, current, merged, plain
from ..parallel import Communicator


@dataclass(frozen=True)
class RunAccount:
    """What a leg of a run takes, beside what those before it have taken."""

    account: Account
    """Of this thread."""
    communicator: Communicator
    """The ranks."""
    first: Tensor
    """What the account had when the leg began."""
    before: Sequence[Mapping[str, Any]] = ()
    """Accounts of the legs before."""

    @classmethod
    def begun(cls, communicator: Communicator) -> Self:
        """A leg that begins now, in a thread that keeps an account."""
        account = current()
        assert account is not None
        return cls(account, communicator, _figures(account))

    def after(self, stored: Mapping[str, Any]) -> Self:
        """As a leg of a run with the attributes `stored`; those of earlier versions tell nothing
        of the legs before."""
        return replace(self, before=stored.get(ATTRIBUTE) or ())

    def attributes(self) -> dict[str, Any]:
        """What the store keeps, up to now. Collective, one all-reduce of five numbers a part, which
        are read: to be asked for where a row's figures are."""
        spent, ranks = _figures(self.account) - self.first, self.communicator
        *parts, process = ranks.sum(spent.to(ranks.device)).tolist()
        width = len(FIGURES)
        sums = {name: parts[width * k : width * (k + 1)] for k, name in enumerate(Part)}
        return {ATTRIBUTE: merged([*self.before, plain(ranks.size, sums, process)])}


def _figures(account: Account) -> Tensor:
    """Of every part in their order, then the CPU seconds of the process, in float64."""
    spent = account.spent()
    numbers = [value for name in Part for value in astuple(spent[name])]
    return torch.tensor([*numbers, account.process_seconds], dtype=torch.float64)
