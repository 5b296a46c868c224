"""The samples of the next step, drawn by a thread while a GPU or another core computes the present
one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from ..accounts import Part, aside, current
from ..parallel import is_core_idle
from ..problems import Barenblatt, Box, Density, Gaussian, Mixture, Paraboloid, Product, SampleStart
from ..problems.wrapped import Wrapped

_PLAIN = (Gaussian, Box, Paraboloid, Barenblatt, SampleStart)


# Coordinates of a draw on a CPU: from about as many seconds on as handing it to a thread costs, and
# up to 128 MiB, which plans need not count.
_ON_CPUS = range(1 << 17, (1 << 24) + 1)


def are_drawn_ahead(device: torch.device, coordinates: int) -> bool:
    """Whether it pays for samples of so many `coordinates`: where the host idles, as a GPU
    computes, or a core of it, as there are fewer ranks on this node than cores."""
    return device.type == "cuda" or (coordinates in _ON_CPUS and is_core_idle())


def may_be_drawn_aside(density: Density) -> bool:
    """Whether a thread may draw from a density while others compute. The densities of this package
    may, but for distributions, whose samples come from torch's one generator; code of one's own
    need not expect it."""
    if type(density) is Mixture:
        return all(map(may_be_drawn_aside, density.components))
    if type(density) is Product:
        return all(map(may_be_drawn_aside, density.parts))
    if type(density) is Wrapped:
        return may_be_drawn_aside(density.density)
    return type(density) in _PLAIN


class DrawnAhead:
    """Draws that have begun and will be asked for, at most one of every kind.

    For a GPU they end in pinned memory, from which a stream of its own copies them there while the
    kernels before them still run. A draw is a function of what it is asked for alone: whether it
    was made ahead shows in no bit."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._begun: dict[Hashable, _Draw] = {}
        self._copies: torch.cuda.Stream | None = None

    def begin(
        self, kind: Hashable, key: Hashable, shapes: Sequence[tuple[int, int]],
        draw: Callable[[], Sequence[Tensor]],
    ) -> None:  # fmt: skip
        """Begin the draw of a `kind` that `take` will ask for by `key`, of tensors of these shapes.
        One that has begun already goes on."""
        begun = self._begun.get(kind)
        if begun is not None and begun.key == key:
            return
        self.close(kind)
        into = None
        if self._device.type == "cuda" and torch.cuda.is_available():
            # Allocated by this thread, as its CUDA graphs are captured while others run.
            into = [torch.empty(shape, dtype=self._dtype, pin_memory=True) for shape in shapes]
        self._begun[kind] = _Draw(key, into, draw, self._dtype)

    def take(self, kind: Hashable, key: Hashable) -> list[Tensor] | None:
        """The draw on the device; None where it has not begun. Errors: those of drawing."""
        begun = self._begun.get(kind)
        if begun is None or begun.key != key:
            return None
        del self._begun[kind]
        return self._uploaded(begun.result())

    def close(self, kind: Hashable | None = None) -> None:
        """Wait for the end of draws that nobody will ask for, of one kind or of all, whatever they
        would have given."""
        for each in [kind] if kind is not None else list(self._begun):
            if (begun := self._begun.pop(each, None)) is not None:
                begun.join()

    def _uploaded(self, drawn: Sequence[Tensor]) -> list[Tensor]:
        if not drawn[0].is_pinned():
            return [z.to(self._device) for z in drawn]
        if self._copies is None:
            self._copies = torch.cuda.Stream(self._device)
        present = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._copies):
            copies = [z.to(self._device, non_blocking=True) for z in drawn]
        present.wait_stream(self._copies)
        for each in copies:
            each.record_stream(present)
        return copies


class _Draw(threading.Thread):
    """One draw."""

    def __init__(
        self, key: Hashable, into: Sequence[Tensor] | None,
        draw: Callable[[], Sequence[Tensor]], dtype: torch.dtype,
    ) -> None:  # fmt: skip
        super().__init__(name="hpc-wgf draws ahead")
        self.key = key
        self._into, self._draw, self._dtype = into, draw, dtype
        self._drawn: Sequence[Tensor] = []
        self._error: BaseException | None = None
        self._account = current()
        self.start()

    def run(self) -> None:
        try:
            # The first holds for a thread.
            with torch.no_grad(), aside(self._account, Part.DRAWS):
                drawn = self._draw()
                if self._into is None:
                    self._drawn = [z.to(self._dtype) for z in drawn]
                else:
                    pairs = zip(self._into, drawn, strict=True)
                    self._drawn = [there.copy_(z) for there, z in pairs]
        except BaseException as error:
            self._error = error

    def result(self) -> Sequence[Tensor]:
        self.join()
        if self._error is not None:
            raise self._error
        return self._drawn
