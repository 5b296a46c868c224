"""Softmax gates: what they are, how they are laid out, and that they hold the force of mixtures."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import GaussianMixture, InputError
from hpc_wgf.maps import Frame, SoftmaxGates, described_built_in, rebuilt
from hpc_wgf.problems import Gaussian
from tests.oracles import perturb

CENTRES = [[1.0, -0.5], [-1.2, 0.4], [0.3, 1.5]]


def points(n: int, d: int, width: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return width * torch.randn(n, d, generator=generator, dtype=torch.float64)


def test_gates_are_the_shares_of_the_components_of_mixtures():
    """Those of scale s belong to the mixture of Gaussians of variance σ²/s."""
    map = SoftmaxGates(2, CENTRES, variance=0.5, scales=[1.0, 0.2], present=0).double()
    z = points(50, 2)
    found = map.values(z.T).view(2, 2, 50)
    for gates, scale in zip(found, (1.0, 0.2), strict=True):
        squares = (z[None] - torch.tensor(CENTRES, dtype=torch.float64)[:, None]).square().sum(2)
        weights = torch.exp(-squares * scale / (2 * 0.5))
        assert torch.allclose(gates, (weights / weights.sum(0))[:-1], rtol=1e-12)


@pytest.mark.parametrize("start", [1.0, 2.25])
def test_the_force_of_a_mixture_lies_in_their_span(start):
    """−∇V − ∇ log λ of a mixture V and a Gaussian λ is a sum of gates and an affine function."""
    potential, density = GaussianMixture(CENTRES, 0.5), Gaussian(2, [0.3, -0.2], start)
    map = SoftmaxGates(2, CENTRES, variance=0.5, scales=[1.0], present=0).double()
    z = points(300, 2)
    features = map.linear_features(z).value[0].T
    force = -potential.gradient(z) - density.score(z)
    left = force - features @ torch.linalg.lstsq(features, force).solution
    assert float(left.norm() / force.norm()) < 1e-12
    without = features[:, 1:]  # One centre less leaves much of it over.
    left = force - without @ torch.linalg.lstsq(without, force).solution
    assert float(left.norm() / force.norm()) > 0.02


def test_the_metric_of_the_features_is_not_singular():
    map, z = SoftmaxGates(2, CENTRES, variance=0.5), points(2000, 2)
    features = map.linear_features(z).value[0]
    assert float(torch.linalg.cond(features @ features.T / len(z))) < 1e9


def test_far_from_the_origin_no_digits_are_lost_in_single_precision():
    shift = torch.tensor([1e3, -2e3], dtype=torch.float64)
    centres, z = torch.tensor(CENTRES, dtype=torch.float64), points(50, 2)
    near = SoftmaxGates(2, centres, variance=0.5, present=0).values(z.T)
    far = SoftmaxGates(2, centres + shift, variance=0.5, present=0).values((z + shift).float().T)
    assert torch.allclose(far.double(), near, atol=2e-3)  # z + shift itself is rounded to 1e-4


def test_scales_reach_from_a_mode_beyond_the_samples():
    map = SoftmaxGates(2, CENTRES, variance=0.5)
    assert torch.allclose(map.target.rates * 0.5, torch.tensor([1, 0.5, 0.25]).double())
    map.lay_out(Frame.of_moments(torch.zeros(2), torch.tensor(8.0)))
    assert torch.allclose(map.target.rates * 0.5, torch.tensor([1, 0.5**2.5, 0.5**5]).double())
    map.lay_out(Frame.of_moments(torch.zeros(2), torch.tensor(0.1)))
    assert torch.allclose(map.target.rates * 0.5, torch.tensor([1, 0.5, 0.25]).double())
    given = SoftmaxGates(2, CENTRES, variance=0.5, scales=[2.0, 0.7])
    given.lay_out(Frame.of_moments(torch.zeros(2), torch.tensor(8.0)))
    assert torch.allclose(given.target.rates * 0.5, torch.tensor([2, 0.7]).double())


def test_modes_of_unequal_weights():
    """The force of a mixture with weights lies in the span of gates that have them, and not in that
    of gates that have none."""
    weights = [1.0, 6.0, 0.3]
    potential, density = GaussianMixture(CENTRES, 0.5, weights), Gaussian(2, [0.3, -0.2], 2.25)
    z = points(300, 2)
    force = -potential.gradient(z) - density.score(z)

    def left(weights):
        map = SoftmaxGates(
            2, CENTRES, variance=0.5, weights=weights, scales=[1.0], present=0
        ).double()
        features = map.linear_features(z).value[0].T
        rest = force - features @ torch.linalg.lstsq(features, force).solution
        return float(rest.norm() / force.norm())

    assert left(weights) < 1e-12
    assert left([10 * w for w in weights]) < 1e-12
    assert left(None) > 0.02


def test_gates_of_clusters_lie_where_the_samples_do():
    """They are the shares of the mixture of the clusters, and go along when laid out anew."""
    map, middles = SoftmaxGates(2, present=2).double(), torch.tensor([[3.0, 0], [-3, 1]]).double()
    x = torch.cat([middles[0] + 0.5 * points(300, 2), middles[1] + 0.5 * points(100, 2)])
    for shift in (0.0, 5.0):
        map.lay_out(Frame.of_samples(x + shift))
        means = torch.stack([x[:300].mean(0), x[300:].mean(0)]) + shift
        order = [0, 1] if float((map.present.centres[0] - means[0]).norm()) < 1 else [1, 0]
        assert torch.allclose(map.present.centres[order], means)
        variance = 1 / float(map.present.rates[0])
        parts = [Gaussian(2, mean, variance) for mean in means[order]]
        densities = torch.stack([part.log_density(x + shift).exp() for part in parts])
        shares = torch.tensor([0.75, 0.25]).double()[order, None] * densities
        gates = map.values((x + shift).T)
        assert torch.allclose(gates[0], shares[0] / shares.sum(0), atol=1e-10)


def test_clusters_of_a_law_that_gives_no_samples():
    """They lie as those of the Gaussian of its moments do, the same always."""
    maps = [SoftmaxGates(2, present=5) for _ in range(2)]
    for map in maps:
        map.lay_out(Frame.of_moments(torch.tensor([50.0, 0.0]), torch.tensor([1.0, 9.0])))
    centres = maps[0].present.centres
    assert torch.equal(centres, maps[1].present.centres)
    assert 48 < float(centres[:, 0].min()) < 49.9 < 50.1 < float(centres[:, 0].max()) < 52
    assert float(centres[:, 1].max() - centres[:, 1].min()) > 4


def test_gates_are_damped_and_affine_motions_are_not():
    damping = SoftmaxGates(2, CENTRES, variance=0.5).linear_features(points(5, 2)).damping
    assert damping.shape == (3 * 2 + 2 * 2 + 2 + 1,)
    assert bool((damping[:-3] > 0).all())
    assert bool((damping[-3:] == 0).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_described_map_is_made_again_to_the_bit(dtype):
    map = SoftmaxGates(2, CENTRES, variance=0.3)
    map.lay_out(Frame.of_moments(torch.zeros(2), torch.tensor(7.0)))
    map = perturb(map, 0.2).to(dtype)
    other = rebuilt(described_built_in(map)).to(dtype).at(map.get_theta())
    z = points(20, 2).to(dtype)
    for ours, theirs in zip(map.transport(z, -z), other.transport(z, -z), strict=True):
        assert torch.equal(ours, theirs)


def test_folds_are_seen():
    """Where modes are to change places."""
    map, z = SoftmaxGates(2, CENTRES, variance=0.3, scales=[1.0]).double(), points(400, 2)
    theta = torch.zeros_like(map.c)
    theta[:, :2] = 2 * (map.target.centres[-1] - map.target.centres[:-1]).T
    map.set_theta(theta.flatten())
    gradient = torch.autograd.functional.jacobian(lambda z: map(z).sum(0), z).permute(1, 0, 2)
    folded = torch.linalg.det(gradient) < 0
    assert 0 < int(folded.sum()) < 400
    assert torch.equal(map.transport(z).positive, ~folded)


def test_a_motion_of_all_centres_is_a_translation():
    """Gates that add up to 1 and move alike move everything alike: volume and score stay."""
    map, z = SoftmaxGates(2, CENTRES, variance=0.3).double(), points(30, 2)
    theta = torch.zeros_like(map.c)
    theta[:, -1] = torch.tensor([0.7, -0.2])
    map.set_theta(theta.flatten())
    image = map.transport(z, -z)
    assert torch.allclose(image.x, z + torch.tensor([0.7, -0.2]), atol=1e-15)
    assert torch.allclose(image.log_det, torch.zeros(30), atol=1e-15)
    assert torch.allclose(image.score, -z, atol=1e-14)


@pytest.mark.parametrize(
    ("centres", "options", "words"),
    [
        ([[1.0, 2.0]], {}, "at least two centres"),
        ([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], {}, "got 3, of which 2 differ"),
        ([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], {}, "points with 2 coordinates"),
        ([1.0, 2.0], {}, r"shape \(2,\)"),
        (CENTRES, {"variance": 0.0}, "variance of a mode must be positive, got 0"),
        (CENTRES, {"variance": None}, "variance of a mode must be positive, got None"),
        (CENTRES, {"weights": [1.0, 2.0]}, "3 centres of gates need as many positive weights"),
        (CENTRES, {"weights": [1.0, 2.0, 0.0]}, "as many positive weights"),
        (CENTRES, {"present": 1}, "at least two of them, or 0 for none, got 1"),
        (CENTRES, {"present": -3}, "at least two of them, or 0 for none, got -3"),
        (None, {}, "centres, or a number of clusters"),
        (CENTRES, {"scales": []}, "scales of gates must be positive"),
        (CENTRES, {"scales": [1.0, -0.5]}, "scales of gates must be positive"),
    ],
)
def test_bad_gates_are_refused(centres, options, words):
    with pytest.raises(InputError, match=words):
        SoftmaxGates(2, centres, **{"variance": 1.0} | options)
