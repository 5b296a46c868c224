"""Every second belongs to one part, by a clock that the tests hold."""

from __future__ import annotations

import threading

import pytest

from hpc_wgf.accounts import (
    FIGURES,
    Account,
    Part,
    accounted,
    aside,
    counted,
    current,
    merged,
    part,
    plain,
    seconds_by_part,
    waiting,
)


class Clock:
    """Of the account's two readings; CPU seconds go half as fast."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.now / 2

    process_time = thread_time


@pytest.fixture
def clock(monkeypatch):
    held = Clock()
    monkeypatch.setattr("hpc_wgf.accounts.account.time", held)
    return held


def seconds(account: Account) -> dict[Part, float]:
    return {name: spent.seconds for name, spent in account.spent().items() if spent.seconds}


def test_seconds_belong_to_the_innermost_part(clock):
    with Account().opened(Part.START_UP) as account:
        clock.now += 1.0
        with part(Part.RECURRENCE):
            clock.now += 2.0
            with part(Part.PRODUCTS):
                clock.now += 4.0
            clock.now += 8.0
        assert account.present is Part.START_UP
        clock.now += 16.0
    clock.now += 32.0  # the account is closed
    assert seconds(account) == {Part.START_UP: 17.0, Part.RECURRENCE: 10.0, Part.PRODUCTS: 4.0}
    assert account.spent()[Part.PRODUCTS].cpu_seconds == 2.0
    assert account.process_seconds == 15.5


def test_within_a_whole_part_nothing_is_counted_apart(clock):
    @counted(Part.FORCES)
    def forces():
        clock.now += 2.0

    with Account().opened() as account:
        with part(Part.EVALUATION):
            clock.now += 1.0
            forces()
            with part(Part.OUTPUT):
                forces()
        forces()
    assert seconds(account) == {Part.EVALUATION: 5.0, Part.FORCES: 2.0}
    assert account.spent()[Part.FORCES].entries == 1


def test_waiting_is_told_within_its_part(clock):
    with Account().opened() as account:
        with part(Part.PRODUCTS):
            clock.now += 1.0
            with waiting():
                clock.now += 2.0
            clock.now += 4.0
        with waiting():
            clock.now += 8.0
    assert seconds(account) == {Part.PRODUCTS: 7.0, Part.REST: 8.0}
    assert [account.spent()[name].waiting for name in (Part.PRODUCTS, Part.REST)] == [2.0, 8.0]


def test_what_fails_leaves_its_part(clock):
    @counted(Part.DRAWS)
    def fail():
        clock.now += 1.0
        raise ValueError("failed")

    with Account().opened() as account:
        for call in (fail, lambda: fail()):
            with pytest.raises(ValueError, match="failed"), part(Part.FORCES):
                call()
        clock.now += 4.0
    assert seconds(account) == {Part.DRAWS: 2.0, Part.REST: 4.0}
    assert current() is None


def test_other_threads_are_told_beside(clock):
    """A thread has no account of its own; what it says of itself is no second of the run's."""
    found = []

    def work(account):
        found.append(current())
        with part(Part.FORCES), aside(account, Part.DRAWS):
            clock.now += 2.0

    with Account().opened() as account:
        thread = threading.Thread(target=work, args=(account,))
        thread.start()
        thread.join()
    assert found == [None]
    assert account.spent()[Part.DRAWS].aside == 1.0
    assert account.spent()[Part.DRAWS].seconds == 0.0
    assert seconds(account) == {Part.REST: 2.0}


def test_without_an_account_nothing_is_counted():
    with part(Part.DRAWS), waiting():
        assert current() is None


def test_a_call_has_an_account_of_its_own_only_where_there_is_none(clock):
    @accounted(Part.START_UP)
    def call():
        clock.now += 1.0
        return current()

    assert current() is None
    alone = call()
    assert seconds(alone) == {Part.START_UP: 1.0}
    with Account().opened() as account:
        assert call() is account
    assert seconds(account) == {Part.START_UP: 1.0}


def test_accounts_of_legs_add_up_for_each_number_of_ranks():
    numbers = dict.fromkeys(FIGURES, 4.0)
    two = plain(2, {Part.PRODUCTS: list(numbers.values()), Part.DRAWS: [0.0] * 5}, 6.0)
    halved = {**numbers, "seconds": 2.0, "waiting": 2.0}
    assert two == {"ranks": 2, "cpu_seconds": 6.0, "parts": {"products": halved}}
    one = plain(1, {Part.DRAWS: [3.0, 0.0, 3.0, 0.0, 1.0]}, 3.0)
    both = merged([one, two, two])
    assert [entry["ranks"] for entry in both] == [1, 2]
    assert both[1]["cpu_seconds"] == 12.0
    assert both[1]["parts"]["products"] == {name: 2 * each for name, each in halved.items()}
    assert merged(both) == both
    assert list(seconds_by_part(both).items()) == [("products", 4.0), ("draws", 3.0)]
