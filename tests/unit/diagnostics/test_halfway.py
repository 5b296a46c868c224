"""What two ranks find of a step, and tell each other."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf.diagnostics.halfway import Halfway, Residual, on_two_ranks
from hpc_wgf.parallel import LocalCommunicator

Q, N, D = 4, 5, 2
LIKE = Residual(torch.zeros(Q), torch.zeros(N, D))
MIDDLE = Halfway(torch.randn(Q), torch.randn(Q), torch.randn(N, D), torch.randn(N, D),
                 torch.tensor([-1.0, 0.5, 3.0]))  # fmt: skip
END = Residual(torch.randn(Q), torch.randn(N, D))


def unfactored():
    raise torch.linalg.LinAlgError("not positive definite")


class Rank(LocalCommunicator):
    """One of several, whose sums are added to by the others as they have told."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank, self.size = rank, size
        self.told: torch.Tensor | None = None
        self.others: list[torch.Tensor] = []

    def sum(self, tensor):
        self.told = tensor.clone()
        for other in self.others:
            tensor += other
        return tensor


@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_is_computed_by_one_rank_and_known_to_all(size):
    computed = []

    def middle():
        computed.append("middle")
        return MIDDLE

    def end():
        computed.append("end")
        return END

    ranks = [Rank(rank, size) for rank in range(size)]
    for rank in ranks:
        on_two_ranks(rank, middle, end, LIKE)
    assert sorted(computed) == ["end", "middle"]
    for rank in ranks:
        rank.others = [other.told for other in ranks if other is not rank]
        found = on_two_ranks(rank, middle, end, LIKE)
        for told, expected in zip(found, (MIDDLE, END), strict=True):
            assert all(map(torch.equal, told, expected))


def test_where_one_cannot_be_factored_all_are_told():
    """By the rank that sees the end; the other has found the middle."""
    first, second = (Rank(rank, 2) for rank in range(2))
    with pytest.raises(torch.linalg.LinAlgError, match="cannot be factored"):
        on_two_ranks(second, lambda: MIDDLE, unfactored, LIKE)
    first.others = [second.told]
    with pytest.raises(torch.linalg.LinAlgError, match="cannot be factored"):
        on_two_ranks(first, lambda: MIDDLE, unfactored, LIKE)
