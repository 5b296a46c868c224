"""A short run of the primal-dual method, which the last rank may ask to stop; resumed if begun.

python primal_dual_run.py PATH STOP    STOP: the number of the question that is answered by yes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hpc_wgf as wgf

PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, 0.5)), wgf.Entropy(),
     wgf.InteractionEnergy(wgf.interactions.Power(2.0), 0.2)],
    wgf.Gaussian(2), until=0.3,
)  # fmt: skip
METHOD = wgf.PrimalDualOptions(
    samples=128, step_size=0.1, iterations=4, dual_steps=2, width=8, depth=2, learning_rate=0.02
)


def main(path: str, number: str) -> None:
    with wgf.distributed() as ranks:
        asked: list[int] = []

        def stop() -> bool:
            asked.append(0)
            return ranks.rank == ranks.size - 1 and len(asked) == int(number)

        map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 4))
        wgf.solve(
            PROBLEM, map, METHOD, wgf.Output(path, every=0.1, particles=128), communicator=ranks,
            stop=stop, resume=Path(path).exists(),
        )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
