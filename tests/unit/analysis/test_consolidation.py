"""One map in place of a chain, against dense references and independent samples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.ensemble import Sampler
from hpc_wgf.maps import Composition, MapState, Stage
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks


def perturbed(map: wgf.PushForward, size: float, seed: int) -> torch.Tensor:
    """Parameters at which a map is not the identity."""
    random = torch.Generator().manual_seed(seed)
    return map.get_theta() + size * torch.randn(map.parameter_count(), generator=random)


def chain_of(*maps: wgf.PushForward, size: float = 0.2) -> MapState:
    """Maps one after another at parameters of their own, the last one active."""
    thetas = [perturbed(map, size, k) for k, map in enumerate(maps)]
    stages = [Stage.freeze(*each) for each in zip(maps[:-1], thetas[:-1], strict=True)]
    return MapState(tuple(stages), maps[-1], thetas[-1])


def splines() -> MapState:
    return chain_of(*(wgf.AxisSpline(1, 8, low=-2.5, high=2.5) for _ in range(4)), size=0.15)


def test_affine_stages_become_their_product():
    """The dense reference: the product of the matrices, and where the origin goes."""
    d = 3
    chain = chain_of(*(wgf.Affine(d) for _ in range(4)))
    linear, shift = torch.eye(d), torch.zeros(d)
    for theta in (*(stage.map.get_theta() for stage in chain.stages), chain.theta):
        gradient = torch.eye(d) + theta[: d * d].view(d, d)
        linear, shift = gradient @ linear, gradient @ shift + theta[d * d :]
    found = wgf.consolidate(chain, wgf.Gaussian(d, 1.0, 4.0), wgf.Affine(d), samples=200)
    assert isinstance(found.map, wgf.Affine)
    assert torch.allclose(found.map.A, linear - torch.eye(d), rtol=0, atol=1e-8)
    assert torch.allclose(found.map.b, shift, rtol=0, atol=1e-8)
    assert found.misfit < 1e-12
    assert found.converged
    assert found.folded == 0


def test_more_knots_miss_a_chain_of_splines_by_less():
    """Between knots, where the chain's third derivative jumps, a cubic spline misses it by h³."""
    found = [
        wgf.consolidate(splines(), wgf.Gaussian(1), map, samples=4096)
        for map in (wgf.AxisSpline(1, 1 + k, low=-3.0, high=3.0) for k in (8, 16, 32, 64))
    ]
    misfits = [each.misfit for each in found]
    assert all(fine < coarse / 3 for coarse, fine in pairwise(misfits))
    assert misfits[-1] < misfits[0] / 8**3
    assert all(each.converged and each.iterations < 15 for each in found)


@pytest.mark.parametrize(
    "map",
    [wgf.AxisSpline(1, 10), Composition(wgf.Affine(1), wgf.BlockFlow(1, 4))],
    ids=["linear in θ", "a block"],
)
def test_the_misfit_is_that_of_other_samples(map):
    """By a quadrature of the start density, which knows nothing of samples."""
    chain, n = splines(), 8192
    found = wgf.consolidate(chain, wgf.Gaussian(1), map, samples=n, max_iterations=30)
    node, weight = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(180))
    weight, z = weight / weight.sum(), node[:, None]
    with torch.no_grad():
        square = (found.map(z) - chain(z)).square()[:, 0]
        moved = (chain(z) - z).square()[:, 0]
    misfit, displacement = (float(weight @ each) ** 0.5 for each in (square, moved))
    noise = 4 * (float(weight @ square.square()) / n) ** 0.5  # of the mean square
    assert found.misfit**2 == pytest.approx(misfit**2, abs=noise)
    assert found.misfit / found.misfit_relative == pytest.approx(displacement, rel=0.05)
    assert 0.8 * misfit < found.misfit_fitted < 1.25 * misfit


def test_too_few_samples_show_as_a_misfit_at_others():
    """Twice as many numbers as parameters: they are fitted far better than the chain is."""
    ask = (splines(), wgf.Gaussian(1), wgf.AxisSpline(1, 12, low=-2.97, high=2.97))
    few, many = (wgf.consolidate(*ask, samples=n) for n in (24, 4096))
    assert few.misfit_fitted < 0.5 * few.misfit
    assert few.misfit_fitted < many.misfit < few.misfit


def test_a_map_linear_in_its_parameters_gets_those_of_least_squares():
    """The dense reference: T_θ(z) = z + Φ(z) θ, θ by QR at the same samples."""
    chain, start, n = splines(), wgf.Gaussian(1), 1000
    found = wgf.consolidate(chain, start, wgf.AxisSpline(1, 12), samples=n, seed=5)
    sampler = Sampler(start, LocalCommunicator(), seed=5, dtype=torch.float64)
    blocks = SampleBlocks.automatic(n)
    drawn = sampler.draw(blocks, sampler.parts(blocks, 512), RandomStream.CONSOLIDATION, 0)
    z, map = torch.cat(drawn.points), found.map
    theta = map.get_theta()
    with torch.no_grad():
        phi = torch.stack([(map.at(unit)(z) - z)[:, 0] for unit in torch.eye(12)], 1)
        expected = torch.linalg.lstsq(phi, chain(z) - z).solution[:, 0]
        left = chain(z)[:, 0] - z[:, 0] - phi @ expected
    assert torch.allclose(phi @ theta, phi @ expected, rtol=0, atol=1e-8)
    assert found.misfit_fitted == pytest.approx(float(left.square().mean()) ** 0.5, rel=1e-10)


def test_the_map_is_laid_out_for_the_start_density_as_in_a_run():
    """Knots over nearly all of N(50, 10²), not over that of a unit Gaussian."""
    start = wgf.Gaussian(1, 50.0, 100.0)
    chain = MapState((), wgf.Affine(1), torch.tensor([0.5, 3.0]))
    map = wgf.consolidate(chain, start, wgf.AxisSpline(1, 5), samples=100).map
    assert isinstance(map, wgf.AxisSpline)
    assert 20 < 50 - float(map.low) <= 40
    assert 20 < float(map.low + 4 * map.width) - 50 <= 40


def test_far_from_the_origin_scales_are_found_too():
    """E[(1, z)(1, z)ᵀ] has eigenvalues in the ratio 10⁻¹⁶, and the direction of the small one, in
    which the misfit hardly falls while σ is large, is the last to move."""
    chain = MapState((), wgf.Affine(1), torch.tensor([0.5, 1.0]))
    found = wgf.consolidate(chain, wgf.Gaussian(1, 1e4), wgf.Affine(1), samples=200)
    assert float(found.map.get_theta()[0]) == pytest.approx(0.5, abs=1e-8)


def test_a_chain_that_does_not_move_misses_nothing():
    still = MapState((), wgf.AxisSpline(1, 6), torch.zeros(6))
    found = wgf.consolidate(still, wgf.Gaussian(1), wgf.AxisSpline(1, 9), samples=100)
    assert (found.misfit, found.misfit_relative, found.iterations) == (0.0, 0.0, 0)


def test_folds_of_the_new_map_are_counted():
    """T(z) = z − 3z mirrors every sample: the one map that does it folds at all of them."""
    mirror = MapState((), wgf.Affine(1), torch.tensor([-3.0, 0.0]))
    found = wgf.consolidate(mirror, wgf.Gaussian(1), wgf.Affine(1), samples=300)
    assert found.folded == found.samples == 300
    assert found.misfit < 1e-12


def test_single_precision_stays_so():
    chain = chain_of(*(wgf.Affine(2) for _ in range(2)))
    single = MapState(
        tuple(Stage(stage.map.float()) for stage in chain.stages),
        chain.map.float(), chain.theta.float(),
    )  # fmt: skip
    found = wgf.consolidate(single, wgf.Gaussian(2), wgf.Affine(2), samples=500)
    assert found.map.get_theta().dtype is torch.float32
    assert found.misfit_relative < 1e-6


def test_the_map_and_the_chain_are_left_as_they_were():
    chain, map = splines(), wgf.AxisSpline(1, 12)
    before = chain.map.get_theta(), map.get_theta(), map.low.clone()
    wgf.consolidate(chain, wgf.Gaussian(1, 5.0), map, samples=100)
    after = chain.map.get_theta(), map.get_theta(), map.low
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"map": wgf.Affine(2)}, "acts in dimension 2 but the chain has dimension 1"),
        ({"start": wgf.Gaussian(3)}, "acts in dimension 1 but the problem has dimension 3"),
        ({"samples": 31}, "31 samples are too few for the 16 parameters.*give at least 32"),
        ({"samples": 1.5}, "expected a whole number"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"max_iterations": 0}, "max_iterations must be at least 1, got 0"),
        ({"chain": wgf.Affine(1)}, "is no chain of maps.*Solution.state"),
        ({"start": "gaussian"}, "is no start density"),
        ({"map": torch.nn.Linear(1, 1)}, "wrap it as ModuleMap"),
        ({"communicator": 2}, "is no communicator"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(given, said):
    arguments = {
        "chain": splines(), "start": wgf.Gaussian(1), "map": wgf.AxisSpline(1, 16), **given,
    }  # fmt: skip
    with pytest.raises(wgf.InputError, match=said) as caught:
        wgf.consolidate(**arguments)
    assert "\n" not in str(caught.value)


def test_a_chain_that_is_not_finite_is_refused():
    broken = MapState((), wgf.Affine(1), torch.tensor([float("inf"), 0.0]))
    with pytest.raises(wgf.InputError, match="not finite at 200 of 200 samples"):
        wgf.consolidate(broken, wgf.Gaussian(1), wgf.Affine(1), samples=200)
