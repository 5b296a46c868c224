"""How far a map is from an affine one: what decides on the end of a stage."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cloud import Cloud
from ..ensemble import Ensemble
from ..maps import PushForward
from ..parallel import tree_sum

_SAMPLES = 2000  # on which it is measured at most, of all ranks
_CHUNKS = 4  # and the chunks that they are taken from: of small ones calls would take all the time
_WIDEST = 256  # dimensions in which an affine map is fitted; in more a diagonal one


@torch.no_grad()
def deformation(map: PushForward, ensemble: Ensemble) -> float:
    """(E|∇S − M|²/|M|²)^½, S the map at its present parameters, |·| the Frobenius norm, and
    x ↦ Mx + c the affine map that is nearest to S: 0 where S is affine, however far it moves the
    samples, as every map follows such motions best by its affine part.

    From about 2000 samples, with one vector of random signs e for each, as
    E|(∇S − M)ᵀe|² = E|∇S − M|². Collective, two all-reduces."""
    some = _few(ensemble)
    M = _affine_part(map, list(some.values()), ensemble)
    linearizer, sums = map.linearizer(), []
    for number, chunk in some.items():
        random = torch.Generator().manual_seed(number)
        signs = (2 * torch.randint(0, 2, chunk.x.shape, generator=random) - 1).to(chunk.x)
        turned = linearizer.linearize(chunk.x, budget=0).vjp(signs, inputs=True)[1]
        assert turned is not None
        affine = signs.double() @ M if M.ndim == 2 else signs.double() * M
        apart = (turned.double() - affine).square().sum(1)
        weights = _weights(chunk)
        sums.append(torch.stack([(weights * apart).sum(), weights.sum()]))
    mine = tree_sum(sums) if sums else M.new_zeros(2)
    square, count = ensemble.communicator.sum(mine).tolist()
    return float(square / count / max(float(M.square().sum()), 1e-300)) ** 0.5


def _few(ensemble: Ensemble) -> dict[int, Cloud]:
    """This rank's part of the samples, by the numbers of their chunks among those of all ranks."""
    lengths = [length for rank in ensemble.sizes for length in rank]
    first = sum(len(rank) for rank in ensemble.sizes[: ensemble.communicator.rank])
    stride = max(1, len(lengths) // _CHUNKS)
    most = max(1, _SAMPLES // len(lengths[::stride]))
    numbered = enumerate(ensemble.chunks, start=first)
    return {k: chunk.at(slice(most)) for k, chunk in numbered if k % stride == 0}


def _weights(chunk: Cloud) -> Tensor:
    """(n,) in float64."""
    weights = chunk.weight
    return torch.ones_like(chunk.x[:, 0]).double() if weights is None else weights.double()


def _affine_part(map: PushForward, some: list[Cloud], ensemble: Ensemble) -> Tensor:
    """M of the least-squares fit S(y) ≈ My + c, (d, d) in float64, or its diagonal, (d,)."""
    d = map.dimension
    like = next(map.parameters())
    shape = (d + 1, 2 * d + 1) if d <= _WIDEST else (5, d)
    sums = []
    for chunk in some:
        y, x, weights = chunk.x.double(), map(chunk.x).double(), _weights(chunk)[:, None]
        ones = torch.cat([y, torch.ones_like(y[:, :1])], 1)
        if d <= _WIDEST:
            sums.append((weights * ones).T @ torch.cat([ones, x], 1))
        else:  # (y², y, x y, x, 1) of every coordinate
            parts = torch.stack([y * y, y, x * y, x, torch.ones_like(y)])
            sums.append((weights * parts).sum(1))
    mine = tree_sum(sums) if sums else like.new_zeros(shape, dtype=torch.float64)
    total = ensemble.communicator.sum(mine)
    if d <= _WIDEST:
        gram, right = total[:, : d + 1].cpu(), total[:, d + 1 :].cpu()
        return (torch.linalg.pinv(gram, hermitian=True) @ right)[:d].T.to(total.device)
    yy, y, xy, x, n = total
    variance = (yy - y * y / n).clamp(min=1e-300)
    return (xy - x * y / n) / variance
