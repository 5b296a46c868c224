"""Proposals: moments of the start density without bias, weights that are bounded, and where there
are none."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.ensemble.sobol import sobol_points
from hpc_wgf.methods.base import layout_samples
from hpc_wgf.parallel import samples_to_check
from hpc_wgf.problems import inverse_transform, proposal_of, round_circles

N = 40_000


def proposed(start, energy=None):
    problem = wgf.Problem(energy or wgf.InternalEnergy(3.0), start, until=1.0)
    return problem, proposal_of(problem, partial(layout_samples, start))


def two_peaks(d=10):
    return wgf.Mixture([wgf.Gaussian(d, 0.0, 0.1), wgf.Gaussian(d, 2.0, 0.2)], weights=[0.2, 0.8])


def test_weighted_means_are_those_of_the_start_density():
    """Mass, mean, second moments, and ½∫λ³ in closed form, where the components do not meet."""
    start = two_peaks()
    _, q = proposed(start)
    z = samples_to_check(q.sample, N)
    log_density = start.log_density(z)
    weights = (log_density - q.log_density(z)).exp()
    assert float(weights.max()) <= 5.0 + 1e-9
    mean, covariance = start.moments()
    square = mean.square() + covariance.diagonal()
    density_square = sum(
        0.5 * weight**3 * (2 * torch.pi * variance) ** -10 * 3.0**-5
        for weight, variance in ((0.2, 0.1), (0.8, 0.2))
    )
    for values, exact in (
        (torch.ones_like(z[:, :1]), torch.ones(1)),
        (z, mean),
        (z.square(), square),
        (0.5 * (2 * log_density).exp()[:, None], torch.tensor([density_square])),
    ):
        found = weights[:, None] * values
        error = found.std(0) / N**0.5
        assert bool(((found.mean(0) - exact).abs() < 5 * error + 1e-15).all())
        assert bool((error < 0.03 * exact.abs()).all())


def test_the_samples_of_the_density_itself_do_not_tell_its_energy():
    """What proposals are for: with so many samples of λ, ½E[λ²] has an error of 10 % and more."""
    start = two_peaks()
    z = samples_to_check(start.sample, 4000)
    values = 0.5 * (2 * start.log_density(z)).exp()
    assert float(values.std() / 4000**0.5 / values.mean()) > 0.1


@pytest.mark.parametrize(
    ("start", "energy"),
    [
        (wgf.Gaussian(2), wgf.InternalEnergy(2.0)),  # flat enough
        (wgf.Barenblatt(10, 3.0), wgf.InternalEnergy(3.0)),  # no Gaussian
        (two_peaks(), wgf.Entropy(1.0)),  # a score that grows as samples do
        (
            two_peaks(),
            [wgf.InternalEnergy(3.0), wgf.InteractionEnergy(wgf.GaussianKernel(1.0, 1.0))],
        ),
    ],
)
def test_there_is_none_elsewhere(start, energy):
    assert proposed(start, energy)[1] is None


def test_a_box_in_a_mixture_is_drawn_as_it_is():
    start = wgf.Mixture([wgf.Gaussian(5, 2.0, 0.1), wgf.Box(5, -1.0, 1.0, ramp=0.2)], [0.2, 0.8])
    _, q = proposed(start)
    assert q.components[1] is start.components[1]
    assert float(q.weights[0]) > 0.55  # nearly all of |f|² is the Gaussian's


def test_weights_of_one_sample_alone_are_refused():
    from hpc_wgf.cloud import Cloud
    from hpc_wgf.methods.sample_checks import check_weights

    z = torch.zeros(1000, 2)
    weights = torch.full((1000,), -200.0)
    check_weights([Cloud(z, z[:, 0], z, log_weight=torch.zeros(1000))])
    weights[3] = 5.0
    with pytest.raises(wgf.InputError, match="are those of 1: .* method.proposal"):
        check_weights([Cloud(z, z[:, 0], z, log_weight=weights)])


def on_circles(start, energy=None):
    energy = energy or wgf.Entropy(1.0)
    return wgf.Problem(energy, start, until=1.0, periods=(1.0, 2.0, 0.0))


def test_all_of_every_circle_is_met():
    """Weights of mass 1 and at most 2; and E[1/λ₁] = L₁, which samples of λ do not know."""
    problem = on_circles(wgf.Gaussian(3, 0.3, [0.01, 0.02, 0.5]))
    q, start = round_circles(problem), problem.start
    z = inverse_transform(q).samples(sobol_points(slice(0, 8192), 4, key=(0, 0, 0)))
    weights = (start.log_density(z) - q.log_density(z)).exp()
    assert float(weights.max()) <= 2 + 1e-12
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.01)
    for j, length in ((0, 1.0), (1, 2.0)):
        one = start.factors()[j].log_density(z[:, [j]]).exp()
        assert float((weights / one).mean()) == pytest.approx(length, rel=0.05)
        own = samples_to_check(start.sample, 8192)
        plain = start.factors()[j].log_density(own[:, [j]]).neg().exp().mean()
        assert float(plain) != pytest.approx(length, rel=0.05)
    x = weights[:, None] * z
    assert float(x.mean(0)[2]) == pytest.approx(0.3, abs=0.02)


def test_what_is_not_met_all_round():
    kernel = wgf.InteractionEnergy(wgf.GaussianKernel(1.0, 1.0))
    position = wgf.PotentialEnergy(wgf.UserPotential(lambda x: torch.zeros_like(x[:, 0]), "0"))
    correlated = [[0.02, 0.01, 0.0], [0.01, 0.02, 0.0], [0.0, 0.0, 1.0]]
    for problem in (
        on_circles(wgf.Box(3, 0.2, 0.6, 0.1)),
        on_circles(wgf.Gaussian(3, 0.3, correlated)),
        on_circles(wgf.Gaussian(3, 0.3, 0.01), [wgf.Entropy(1.0), kernel]),
        on_circles(wgf.Gaussian(3, 0.3, 0.01), position),
        wgf.Problem(wgf.Entropy(1.0), wgf.Gaussian(3), until=1.0),
    ):
        assert round_circles(problem) is None
