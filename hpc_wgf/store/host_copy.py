"""Numbers of a device on their way into this machine's memory, while the device goes on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class HostCopy:
    """A copy of a tensor as it is now, whatever is written into it afterwards.

    From a GPU it goes to page-locked memory in the order of the present stream, without waiting.
    """

    def __init__(self, values: Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if values.is_cuda and torch.cuda.is_available():
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(values.device))
        else:
            self._values = values.detach().to("cpu", copy=True)

    def numpy(self) -> np.ndarray:
        """The numbers, once they have arrived; on any thread."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._values.numpy()
