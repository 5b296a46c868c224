"""The rejected attempts at one step, and when there is no hope in shorter ones."""

from __future__ import annotations

from ..ensemble import FailedSamples

_MOST = 20
_MOST_UNCHANGED = 5  # attempts after the first with the same failed samples


class Rejected(Exception):
    """A step is to be tried again with another size."""

    def __init__(
        self, proposal: float, size: float, cause: str, samples: FailedSamples | None = None
    ) -> None:
        """`proposal`: the size to try. `size`: the one that was rejected, for what `cause`.
        `samples`: those that failed, where the cause is that some did."""
        super().__init__(cause)
        self.proposal, self.size, self.samples = proposal, size, samples


class Rejections:
    """The rejections of one step so far. The same on every rank."""

    def __init__(self) -> None:
        self.count = 0
        self._folds = 0
        self._unchanged = 0
        self._last: Rejected | None = None

    def add(self, rejected: Rejected) -> None:
        """Another attempt has been rejected."""
        samples = rejected.samples
        self._folds += samples is not None and samples.has_folded
        last = None if self._last is None else self._last.samples
        same = samples is not None and last is not None and samples.are_those_of(last)
        self._unchanged = self._unchanged + 1 if same else 0
        # Its frames would keep the system that could not be solved.
        rejected.__cause__ = rejected.__context__ = None
        self._last = rejected.with_traceback(None)
        self.count += 1

    @property
    def folds(self) -> int:
        """In how many of them the map has folded."""
        return self._folds

    @property
    def are_enough(self) -> bool:
        """Whether shorter steps do not help: there were 20, or the same samples have folded in six
        steps of falling size, so that the map has folded there before it moves."""
        return self.count >= _MOST or self._unchanged >= _MOST_UNCHANGED

    def explained(self, time: float) -> str:
        """Why the run ends at `time`, and what to do."""
        assert self._last is not None
        last = self._last
        if self._unchanged < _MOST_UNCHANGED or last.samples is None:
            return (
                f"{self.count} steps from t = {time:g} were rejected, the last of {last.size:g}: "
                f"{last}. Shorter steps do not help: take more samples, a looser method.rtol "
                "(which keeps the parameter velocity small) or another map"
            )
        return (
            f"{self.count} steps from t = {time:g} down to {last.size:.3g} were rejected, and "
            f"however short they are, {last.samples}: at these samples, which are new, the map has "
            f"folded already. {_meaning(last.samples)}"
        )


def _meaning(samples: FailedSamples) -> str:
    more = "take more samples (method.samples), a looser method.rtol or a smaller map"
    dense = (
        "parts of it meet, as in a collapse or a shock, beyond what the map follows: end the run "
        "before, or add diffusion (an entropy)"
    )
    thin = (
        "it is a thin gap between parts, or the outer edge, where too few samples of the steps "
        "hold the map"
    )
    if samples.is_dense():
        return f"The density is high there: {dense}; or {more}"
    if samples.is_thin():
        return f"The density is low there: {thin}: {more}"
    return f"The density is neither high nor low there: either {dense}; or {thin}: {more}"
