"""The curvature of an energy along a map that is linear in its parameters, for implicit steps.

With T_i = z_i + Σ_k φ_k c_ki for the coordinates i of a block, W_ki = Σ_j (∂_jφ_k) (∇T⁻¹)_ji and
φ(log ρ) the integrand of the parts that depend on the density, log ρ = log λ − log det ∇T,

    ∂²F/∂c_ki∂c_lj = E[φ_k φ_l ∂_i∂_jV + φ' W_kj W_li + φ'' W_ki W_lj].

H is this matrix made positive, block by block: of ∇²V the positive part is taken; φ'' and φ', which
are positive for entropy and internal energies, likewise; and of tr((Σ_k c_k ⊗ W_k)²), which is
negative along rotations, the square of the symmetric part. Interactions do not enter. A scheme that
keeps its order for any H (`rosenbrock_step`) needs no more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...cloud import Cloud
from ...ensemble import Ensemble
from ...maps import LinearFeatures, PushForward, carried_by
from ...metric import features_of
from ...parallel import tree_sum
from ...problems import Potential, SumOfEnergies, is_separable, with_hessian

_SAMPLES = 2000  # that suffice for H, of all ranks


@torch.no_grad()
def curvature(map: PushForward, ensemble: Ensemble, energy: SumOfEnergies) -> Tensor:
    """H at the map's present parameters, (blocks, q m, q m) in float64, with the m coordinates of a
    feature side by side. Collective, one all-reduce."""
    share = min(1.0, _SAMPLES / ensemble.total)
    sums = []
    for chunk in ensemble.chunks:
        some = chunk.at(slice(max(1, round(share * len(chunk.x)))))
        block = _sum_over(map, some, energy)
        sums.append(torch.cat([block.reshape(-1), block.new_full((1,), float(len(some.x)))]))
    features = features_of(map, ensemble.chunks[0].x[:0])
    blocks, q, m = features.index.shape
    summed = ensemble.communicator.sum(tree_sum(sums))
    return (summed[:-1] / summed[-1]).view(blocks, q * m, q * m)


def _sum_over(map: PushForward, chunk: Cloud, energy: SumOfEnergies) -> Tensor:
    """Σᵢ wᵢ Hᵢ over the samples of a chunk, (blocks, q m, q m) in float64."""
    features = features_of(map, chunk.x)
    blocks, q, m = features.index.shape
    weight = torch.ones_like(chunk.x[:, 0]) if chunk.weight is None else chunk.weight
    (image,) = carried_by(map, [chunk], score=False)
    H = chunk.x.new_zeros(blocks, q, m, q, m, dtype=torch.float64)
    if (potential := energy.present_potential()) is not None:
        bend = weight * _positive_hessians(potential, image.x, m)
        for i in range(m):
            for j in range(m):
                H[:, :, i, :, j] += (features.value * bend[:, i, j, None]).double() @ (
                    features.value.mT.double()
                )
    if energy.needs_density:
        H += _of_density(map, features, image, energy, weight)
    return H.view(blocks, q * m, q * m)


def _of_density(
    map: PushForward, features: LinearFeatures, image: Cloud, energy: SumOfEnergies, weight: Tensor
) -> Tensor:
    """The parts that depend on the density, (blocks, q, m, q, m)."""
    blocks, q, m = features.index.shape
    gradient = features.jacobian(map.get_theta()).permute(3, 0, 1, 2)
    inverse = torch.linalg.inv_ex(gradient).inverse.permute(1, 2, 3, 0)
    W = torch.einsum("bkjn,bjin->bkin", features.slope, inverse).reshape(blocks, q * m, -1)
    first, second = density_derivatives(energy, image)
    crossed = ((weight * first * W).double() @ W.mT.double()).view(blocks, q, m, q, m)
    H = 0.5 * crossed.transpose(2, 4)
    for i in range(m):  # ½ δ_ij E[φ' W_k·W_l]
        H[:, :, i, :, i] += 0.5 * crossed.diagonal(dim1=2, dim2=4).sum(-1)
    return H + ((weight * second * W).double() @ W.mT.double()).view(blocks, q, m, q, m)


def density_derivatives(energy: SumOfEnergies, image: Cloud) -> tuple[Tensor, Tensor]:
    """φ' and φ'' by log ρ, where they are positive, else 0, (n,) each."""
    with torch.enable_grad():
        log_density = image.log_density.detach().clone().requires_grad_()
        value = energy.density_integrand(image.x, log_density).sum()
        (first,) = torch.autograd.grad(value, log_density, create_graph=True)
        second = torch.zeros_like(first)
        if first.requires_grad:
            (second,) = torch.autograd.grad(first.sum(), log_density, materialize_grads=True)
    return first.detach().clamp(min=0), second.clamp(min=0)


def _positive_hessians(potential: Potential, x: Tensor, m: int) -> Tensor:
    """The positive part of the diagonal blocks of ∇²V, (blocks, m, m, n)."""
    n, d = x.shape
    _, product = with_hessian(potential, x)
    if is_separable(potential, d):
        rows = torch.diag_embed(product(torch.ones_like(x[0])).view(n, d // m, m))
    else:
        axes = torch.eye(d, dtype=x.dtype, device=x.device)
        own = [product(axis).view(n, d // m, m)[:, j // m] for j, axis in enumerate(axes)]
        rows = torch.stack(own, 1).view(n, d // m, m, m)
    if m == 1:
        return rows.clamp(min=0).permute(1, 2, 3, 0)
    values, vectors = torch.linalg.eigh(0.5 * (rows + rows.mT))
    return ((vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT).permute(1, 2, 3, 0)
