"""An iteration that runs the same kernels at the same addresses, replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch

_WARM_UP = 3  # Runs before the recording, in which libraries allocate their workspaces.


def replayed(step: Callable[[], None], device: torch.device, *, wanted: bool) -> Callable[[], None]:
    """`step` itself, or on a GPU, if `wanted`, a function that replays it as a CUDA graph.

    The few hundred small kernels of an iteration are then one launch. `step` must read nothing
    back to the host, and find its arguments at the same addresses in every call.
    """
    return _Replayed(step, device) if wanted and device.type == "cuda" else step


class _Replayed:
    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self._step, self._runs = step, 0
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        self._runs += 1
        if self._runs <= _WARM_UP:
            # What is recorded must have run before, on a stream that is not the default one.
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._step()
            torch.cuda.current_stream().wait_stream(self._stream)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._step()
        self._graph.replay()
