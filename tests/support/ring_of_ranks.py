"""Run under a launcher: the interaction field of one sample by every route, and the memory that the
ring took. Each rank writes RESULT-rank.pt."""

from __future__ import annotations

import resource
import sys
import weakref
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpc_wgf import GaussianKernel, InteractionEnergy, PairSums, PowerLaw, Route
from hpc_wgf.interactions import Particles, keops
from hpc_wgf.parallel import RandomStream, SampleBlocks, communicator_from_environment
from hpc_wgf.problems import Gaussian


class PeakMemory(TorchDispatchMode):
    """Bytes of all tensors that live at once, at most, while the mode is on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self._known:
                    self._known.add(key)
                    self.now += size
                    weakref.finalize(storage, self._freed, key, size)
        self.peak = max(self.peak, self.now)
        return result


def field(energy: InteractionEnergy, particles: Particles) -> torch.Tensor:
    """Force and potential at all particles of this rank, (n_local, d + 1)."""
    found = energy.fields(particles, potential=True)
    return torch.cat([torch.cat([f.force, f.potential[:, None]], 1) for f in found])


def main(n: int, dimension: int, result: str, only_memory: bool) -> None:
    communicator = communicator_from_environment("cpu")
    rank, ranks = communicator.rank, communicator.size
    torch.set_default_dtype(torch.float64)
    blocks, density = SampleBlocks.automatic(n), Gaussian(dimension, 0.5)
    parts = [blocks.chunks(r, ranks) for r in range(ranks)]
    spans = [[blocks.span(part) for part in of_rank] for of_rank in parts]
    sizes = [[span.stop - span.start for span in of_rank] for of_rank in spans]
    chunks = [
        blocks.draw(density.sample, part, seed=0, stream=RandomStream.STEP) for part in parts[rank]
    ]
    particles = Particles(chunks, sizes, communicator)
    kernels = {"even": PowerLaw(4, 2), "log": PowerLaw(2, 0), "gaussian": GaussianKernel()}
    fields = {}
    if not only_memory:
        for name, kernel in kernels.items():
            for route in (Route.PAIRS, Route.MOMENTS, Route.BATCHES):
                if route is Route.MOMENTS and name != "even":
                    continue
                fields[name, route.value] = field(InteractionEnergy(kernel, route=route), particles)
        if keops.is_installed():
            by_keops = InteractionEnergy(kernels["log"], pairs=PairSums.KEOPS)
            fields["log", "keops"] = field(by_keops, particles)
    with PeakMemory() as memory:
        InteractionEnergy(PowerLaw(4, 2), route=Route.PAIRS).fields(particles)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB, the interpreter included
    found = {"fields": fields, "peak": memory.peak, "resident": resident}
    torch.save(found, Path(f"{result}-{rank}.pt"))
    communicator.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "memory")
