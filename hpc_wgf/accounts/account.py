"""The account of a run on one rank: the clock is read where a part begins and where it ends.

Readings of the clock and of the thread's CPU seconds take about four microseconds a part; nothing
is synchronised. On a GPU these are seconds of the host, which starts kernels and does not wait for
them: a part is then charged with what it starts, and whoever waits with what is still under way.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import ParamSpec, TypeVar

from .parts import WHOLE, Part, Spent

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Account:
    """The seconds of one thread by part: from `opened` on, each belongs to the innermost part that
    is entered, or to the outermost of those that are whole (see `parts.WHOLE`)."""

    def __init__(self) -> None:
        self._spent = {each: Spent() for each in Part}
        self._entered: list[Part] = []
        self._whole = 0  # parts within one that is whole, which are not counted apart
        self._lock = threading.Lock()
        self._clock = self._cpu = self._process = 0.0
        self._last_process = 0.0

    @contextmanager
    def opened(self, base: Part = Part.REST) -> Iterator[Account]:
        """The account of this thread while the context lasts, in part `base` where no other is
        entered. It may be opened again, and adds up."""
        before = current()
        _THREAD.account = self
        self._clock, self._cpu = time.perf_counter(), time.thread_time()
        self._last_process = time.process_time()
        self.enter(base)
        try:
            yield self
        finally:
            self.leave()
            self._process += time.process_time() - self._last_process
            _THREAD.account = before

    @property
    def present(self) -> Part:
        """The part that is being charged; the rest where the account is closed."""
        return self._entered[-1] if self._entered else Part.REST

    def enter(self, name: Part) -> None:
        """From here on seconds belong to a part."""
        if self._whole or (self._entered and self._entered[-1] in WHOLE):
            self._whole += 1
            return
        if self._entered:
            self._charge(self._entered[-1])
        self._entered.append(name)
        self._spent[name].entries += 1

    def leave(self) -> None:
        """The part that was entered last has ended."""
        if self._whole:
            self._whole -= 1
            return
        self._charge(self._entered.pop())

    def wait(self) -> None:
        """Waiting for other ranks begins, within the present part."""
        if self._entered:
            self._charge(self._entered[-1])

    def waited(self) -> None:
        """Waiting has ended."""
        if self._entered:
            spent = self._spent[self._entered[-1]]
            before = spent.seconds
            self._charge(self._entered[-1])
            spent.waiting += spent.seconds - before

    def add_aside(self, name: Part, cpu_seconds: float) -> None:
        """CPU seconds of another thread, which may call this."""
        with self._lock:
            self._spent[name].aside += cpu_seconds

    def spent(self) -> dict[Part, Spent]:
        """What every part has taken up to now."""
        if self._entered:
            self._charge(self._entered[-1])
        return {name: replace(each) for name, each in self._spent.items()}

    @property
    def process_seconds(self) -> float:
        """CPU seconds of all threads of the process while the account was open, torch's own
        included."""
        if not self._entered:
            return self._process
        return self._process + time.process_time() - self._last_process

    def _charge(self, name: Part) -> None:
        clock, cpu = time.perf_counter(), time.thread_time()
        spent = self._spent[name]
        spent.seconds += clock - self._clock
        spent.cpu_seconds += cpu - self._cpu
        self._clock, self._cpu = clock, cpu


_THREAD = threading.local()


def current() -> Account | None:
    """The account of this thread; None where nobody keeps one."""
    return getattr(_THREAD, "account", None)


class part:
    """A context whose seconds belong to a part, where this thread has an account."""

    __slots__ = ("_account", "_name")

    def __init__(self, name: Part) -> None:
        self._name = name
        self._account: Account | None = None

    def __enter__(self) -> None:
        self._account = current()
        if self._account is not None:
            self._account.enter(self._name)

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._account is not None:
            self._account.leave()


class waiting:
    """A context in which this thread waits for other ranks."""

    __slots__ = ("_account",)

    def __enter__(self) -> None:
        self._account = current()
        if self._account is not None:
            self._account.wait()

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._account is not None:
            self._account.waited()


class aside:
    """A context in a thread beside that of `account`, whose CPU seconds belong to a part there."""

    __slots__ = ("_account", "_begun", "_name")

    def __init__(self, account: Account | None, name: Part) -> None:
        self._account, self._name, self._begun = account, name, 0.0

    def __enter__(self) -> None:
        self._begun = time.thread_time()

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._account is not None:
            self._account.add_aside(self._name, time.thread_time() - self._begun)


def accounted(base: Part) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator: the calls of a function are a part of this thread's account, or where it has
    none of one of their own (see `current`)."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with part(base) if current() is not None else Account().opened(base):
                return function(*args, **kwargs)

        return call

    return decorate


def counted(name: Part) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator: the calls of a function are a part."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with part(name):
                return function(*args, **kwargs)

        return call

    return decorate
