"""An iteration that runs the same kernels at the same addresses, replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..log import LOG
from ..recordings import keep_track

_WARM_UP = 3  # Runs before the recording, in which libraries allocate their workspaces.


class Replayed:
    """A step that is recorded as a CUDA graph at its fourth run and replayed from then on.

    The small kernels of an iteration are then one launch. The step must read nothing back to the
    host, and find its arguments at the same addresses in every run. Where it cannot be recorded,
    this is said once and the step runs as it is.
    """

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self._step, self._device, self._runs = step, device, 0
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._records = True
        keep_track(self)

    def __call__(self) -> None:
        self._runs += 1
        if self._records and self._graph is None:
            if self._runs <= _WARM_UP:
                self._warm_up()
                return
            self._graph = self._recorded()
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()

    def drop(self) -> None:
        """Free the graph; the step runs as it is from here on."""
        self._graph, self._records = None, False

    def _warm_up(self) -> None:
        """What is recorded must have run before, on a stream that is not the default one."""
        present = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            self._step()
        present.wait_stream(self._stream)

    def _recorded(self) -> torch.cuda.CUDAGraph | None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Where a recording ends with an error, torch leaves this thread on its stream. Another
            # thread may pin memory meanwhile, which must not spoil the recording.
            with (
                torch.cuda.stream(torch.cuda.current_stream(self._device)),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._step()
        except RuntimeError as error:
            self._records = False
            reason = str(error).splitlines()[0]
            LOG.warning(f"the iteration is not recorded as a CUDA graph, and runs on: {reason}")
            return None
        return graph
