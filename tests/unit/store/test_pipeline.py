"""Rows on their way to the disk: in order, counted by all ranks, refused after a failure."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import pytest
import torch

from hpc_wgf.errors import RunError
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.store.pipeline import MOST_WAITING, RowPipeline


class OneOfTwo(LocalCommunicator):
    """Rank 0, beside one that has done `others` of what is asked about."""

    size = 2

    def __init__(self) -> None:
        super().__init__()
        self.others: list[float] = []
        self.failed = 0.0

    def sum(self, tensor):
        given = [self.failed, *self.others, *[0.0] * len(tensor)][: len(tensor)]
        return tensor.add_(torch.tensor(given))

    def gather(self, item):
        return [item, (False, "no space there") if self.failed else None]


@pytest.fixture
def alone():
    pipeline = RowPipeline(LocalCommunicator(), nullcontext())
    yield pipeline
    pipeline.close()


def test_rows_are_written_and_published_in_order(alone):
    done: list[str] = []
    for row in range(5):
        alone.make_room()
        alone.add(lambda row=row: done.append(f"{row}w"), lambda row=row: done.append(f"{row}p"))
    alone.settle(at_most=0)
    assert [each for each in done if each.endswith("w")] == [f"{row}w" for row in range(5)]
    assert [each for each in done if each.endswith("p")] == [f"{row}p" for row in range(5)]
    assert all(done.index(f"{row}w") < done.index(f"{row}p") for row in range(5))


def test_the_loop_goes_on_until_too_many_rows_wait(alone):
    """With a disk that does not answer it waits before the third row, and not before."""
    answer, room = threading.Event(), threading.Event()
    for _ in range(MOST_WAITING):
        alone.make_room()
        alone.add(answer.wait, lambda: None)
        alone.settle()

    def third() -> None:
        alone.make_room()
        room.set()

    loop = threading.Thread(target=third)
    loop.start()
    assert not room.wait(0.2)
    answer.set()
    assert room.wait(10)
    loop.join()


def test_a_row_counts_once_every_rank_has_written_it():
    ranks, done = OneOfTwo(), []
    pipeline = RowPipeline(ranks, nullcontext())
    pipeline.add(lambda: done.append("written"), lambda: done.append("published"))
    for _ in range(20):
        pipeline.settle()
    pipeline._thread.submit(lambda: None).result()
    pipeline.settle()
    pipeline._thread.submit(lambda: None).result()
    assert done == ["written"]
    ranks.others = [1.0]
    pipeline.settle(at_most=0)
    assert done == ["written", "published"]
    pipeline.close()


@pytest.mark.parametrize("at", ["write", "publish"])
def test_an_error_surfaces_at_the_next_step_and_ends_it(alone, at):
    def full() -> None:
        raise OSError(28, "No space left on device")

    after: list[str] = []
    alone.add(*((full, lambda: None) if at == "write" else (lambda: None, full)))
    alone.add(lambda: after.append("written"), lambda: after.append("published"))
    seen = pytest.raises(OSError, match="No space left")
    for _ in range(1 if at == "write" else 2):  # each a step later than what is done
        alone._thread.submit(lambda: None).result()
        with seen if alone._failure else nullcontext():
            alone.settle()
    alone.settle(at_most=0)  # and does not wait for what is never done
    assert "published" not in after


def test_an_error_of_another_rank_ends_all():
    ranks = OneOfTwo()
    pipeline = RowPipeline(ranks, nullcontext())
    pipeline.add(lambda: None, lambda: pytest.fail("it was not written everywhere"))
    ranks.failed = 1.0
    with pytest.raises(RunError, match="rank 1: no space there"):
        pipeline.settle()
    pipeline.close()
