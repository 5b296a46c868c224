"""H as a matrix, from a subsample: the preconditioner of a stage's solves.

Few parameters: all of H, the parts that depend on the density in their positive form. Many: what
the metric's own preconditioners make of E[JᵀMJ], without these parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...choices import Preconditioning
from ...cloud import Cloud
from ...ensemble import Ensemble
from ...maps import PushForward, carried_by
from ...matrix_field import MatrixField
from ...metric import Subsample, build_for, default_preconditioner, subsample_size
from ...metric.block_gram import gram, one_block
from ...metric.diagonal_blocks import DiagonalBlocks
from ...metric.preconditioner import GramModel
from ...metric.subsample import layers_at
from ...parallel import tree_sum
from ...problems import SumOfEnergies
from .curvature import DensityCurvature

_DENSE = 1024  # parameters up to which H is one matrix,
_DEFORMED = 400  # and up to which the parts that depend on the density are in it
_SAMPLES = 500  # by which these are told


def stage_model(
    map: PushForward, ensemble: Ensemble, energy: SumOfEnergies, roots: Sequence[MatrixField]
) -> GramModel | None:
    """H at the map's present parameters, to be shifted and factored; None where solves do without.
    `roots`: R with M = RᵀR. Collective."""
    p = map.parameter_count()
    if p > _DENSE:
        kind = default_preconditioner(map)
        if kind is Preconditioning.NONE:
            return None
        return build_for(map, ensemble, kind, 0.0, roots).model
    sample = Subsample.of(
        map, ensemble.points, ensemble.sizes, subsample_size(map), ensemble.communicator,
        [chunk.weight for chunk in ensemble.chunks], roots,
    )  # fmt: skip
    block = one_block(layers_at(map))
    matrix = gram(sample, block)
    if energy.needs_density and p <= _DEFORMED:
        matrix = matrix + _of_density(map, ensemble, energy)[block.index][:, block.index]
    return DiagonalBlocks([matrix], [block.index], sample.total * sample.directions)


def _of_density(map: PushForward, ensemble: Ensemble, energy: SumOfEnergies) -> Tensor:
    """The parts of H that depend on the density, positive, (p, p) in float64. Collective."""
    share = min(1.0, _SAMPLES / ensemble.total)
    sums = [_summed(map, chunk, energy, share) for chunk in ensemble.chunks]
    p = map.parameter_count()
    summed = ensemble.communicator.sum(tree_sum(sums))
    return (summed[:-1] / summed[-1]).view(p, p)


def _summed(map: PushForward, chunk: Cloud, energy: SumOfEnergies, share: float) -> Tensor:
    some = chunk.at(slice(max(1, round(share * len(chunk.x)))))
    (image,) = carried_by(map, [some], score=False)
    rows = DensityCurvature.at(map, map.get_theta(), some, image, energy).rows().double()
    return torch.cat([(rows @ rows.T).reshape(-1), rows.new_full((1,), float(len(some.x)))])
