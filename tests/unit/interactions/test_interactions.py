"""Interaction fields: every route against a dense reference, and against each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import hpc_wgf as wgf
from hpc_wgf import GaussianKernel, InputError, InteractionEnergy, PowerLaw, Route, UserKernel
from hpc_wgf.interactions import (
    Kernel,
    Morse,
    NonradialKernel,
    Particles,
    Power,
    ScreenedCoulomb,
    Softened,
    batches,
    tiles,
)
from hpc_wgf.parallel import LocalCommunicator


def _along(x: Tensor) -> Tensor:
    """A direction that singles out no axis."""
    return torch.arange(1.0, x.shape[-1] + 1).to(x)


KERNELS = {
    "even": PowerLaw(4, 2),
    "odd": PowerLaw(3, 2.5),
    "rough": PowerLaw(2, 1),
    "log": PowerLaw(2, 0),
    "Riesz": PowerLaw(2, -0.5),
    "gaussian": GaussianKernel(0.7, 0.6),
    "Morse": Morse(1.5, 0.4),
    "square": Power(2),
    "cubic": Power(3),
    "log alone": Power(0),
    "screened": ScreenedCoulomb(0.7),
    "screened in the plane": ScreenedCoulomb(0.7, field=2),
    "softened": Softened(Power(0), 0.05),
    "nonradial": NonradialKernel(lambda x: torch.cos(x @ _along(x)) * torch.exp(-(x**2).sum(1))),
    "anisotropic log": NonradialKernel(lambda x: (x**2 @ _along(x)).log()),
    "user": UserKernel(lambda square: torch.cos(square) - 0.3 * square),
}


def values(kernel: Kernel, x: Tensor) -> Tensor:
    """J(x) by the formula, for x (…, d)."""
    if isinstance(kernel, NonradialKernel):
        return kernel.function(x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])
    r = x.norm(dim=-1)
    if isinstance(kernel, Softened):
        return 0.5 * (r**2 + kernel.length**2).log()
    if isinstance(kernel, Power):
        return r.log() if kernel.exponent == 0 else r**kernel.exponent / kernel.exponent
    if isinstance(kernel, ScreenedCoulomb):
        unit = kernel.length if kernel.field == 3 else 1.0
        return screened(r / kernel.length, kernel.field) / unit
    if isinstance(kernel, PowerLaw):
        powers = [r.log() if q == 0 else r**q / q for q in (kernel.a, kernel.b)]
        return powers[0] - powers[1]
    if isinstance(kernel, GaussianKernel):
        return -kernel.amplitude * torch.exp(-(r**2) / (2 * kernel.width**2))
    if isinstance(kernel, Morse):
        return kernel.strength * torch.exp(-r / kernel.range) - torch.exp(-r)
    return torch.cos(r**2) - 0.3 * r**2


def screened(r: Tensor, field: int) -> Tensor:
    """e^{−r}/r, or K₀(r) = ∫₀^∞ e^{−r cosh t} dt by the trapezoidal rule."""
    if field == 3:
        return torch.exp(-r) / r
    t = torch.linspace(0, 12, 601, dtype=torch.float64)
    rates = torch.exp(-r[..., None] * t.cosh())
    return (rates.sum(-1) - 0.5 * rates[..., 0]) * (t[1] - t[0])


def dense_energy(kernel: Kernel, x: Tensor, self_pairs: bool) -> Tensor:
    """½ mean of J over the pairs (with a particle's own, which is J(0), if asked for)."""
    n = len(x)
    i, j = torch.triu_indices(n, n, offset=1)
    total = 2 * values(kernel, x[i] - x[j]).sum()
    if not self_pairs:
        return total / (2 * n * (n - 1))
    return (total + n * values(kernel, torch.zeros_like(x[0]))) / (2 * n * n)


def fields(energy: InteractionEnergy, x: Tensor, chunks: int = 3) -> tuple[Tensor, Tensor]:
    """Force (n, d) and potential (n,) of all particles."""
    parts = list(x.tensor_split(chunks))
    sizes = [[len(part) for part in parts]]
    found = energy.fields(Particles(parts, sizes, LocalCommunicator()), potential=True)
    forces = energy.fields(Particles(parts, sizes, LocalCommunicator()))
    assert all(torch.equal(a.force, b.force) for a, b in zip(found, forces, strict=True))
    return torch.cat([f.force for f in found]), torch.cat([f.potential for f in found])


@pytest.mark.parametrize("dimension", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("name", "self_pairs"),
    [
        (name, own)
        for name, k in KERNELS.items()
        for own in (False, True)
        if not (own and k.singular)
    ],
)
def test_all_pairs_are_the_gradient_of_the_dense_energy(name, self_pairs, dimension):
    """Energy and force against the formula of J and its derivative by autograd."""
    kernel = KERNELS[name]
    x = (0.5 + torch.randn(60, dimension)).requires_grad_()
    expected = 1.3 * dense_energy(kernel, x, self_pairs)
    (gradient,) = torch.autograd.grad(expected, x)
    energy = InteractionEnergy(kernel, 1.3, route=Route.PAIRS, self_pairs=self_pairs)
    force, potential = fields(energy, x.detach())
    assert float(potential.mean()) == pytest.approx(float(expected.detach()), rel=1e-11)
    assert torch.allclose(force / 60, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dimension", [1, 10])
def test_moments_in_single_precision_do_not_care_where_the_particles_are(dimension):
    """Their mean was rounded before it was taken off: the force was off by 2 %."""
    x = 1e6 + torch.randn(2000, dimension, generator=torch.Generator().manual_seed(0))
    energy = InteractionEnergy(PowerLaw(4, 2), route=Route.MOMENTS)
    expected, rounded = fields(energy, x.float().double())[0], fields(energy, x.float())[0]
    assert float((rounded - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("self_pairs", [False, True])
@pytest.mark.parametrize("kernel", [PowerLaw(4, 2), PowerLaw(2, 4), Power(2), Power(4)], ids=str)
def test_moments_are_all_pairs(kernel, self_pairs, dimension):
    x = 2 + torch.randn(300, dimension)
    routes = [
        fields(InteractionEnergy(kernel, 0.7, route=route, self_pairs=self_pairs), x)
        for route in (Route.MOMENTS, Route.PAIRS)
    ]
    for by_moments, by_pairs in zip(*routes, strict=True):
        assert torch.allclose(by_moments, by_pairs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["log", "gaussian", "nonradial"])
@pytest.mark.parametrize("dimension", [2, 4])
def test_the_size_of_the_tiles_does_not_matter(monkeypatch, name, dimension):
    x = torch.randn(97, dimension)
    energy = InteractionEnergy(KERNELS[name], route=Route.PAIRS)
    whole = fields(energy, x)
    monkeypatch.setattr(tiles, "_TILE_CPU", 300)
    for a, b in zip(whole, fields(energy, x), strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_forces_add_up_to_nothing():
    """Newton's third law: the centre of mass stays where it is."""
    x = torch.randn(200, 2)
    for kernel in KERNELS.values():
        force, _ = fields(InteractionEnergy(kernel, route=Route.PAIRS), x)
        assert float(force.sum(0).abs().max()) < 1e-10 * float(force.abs().sum())


@pytest.mark.parametrize("name", ["gaussian", "log", "nonradial"])
def test_a_batch_of_all_is_all_pairs(name):
    x = torch.randn(50, 2)
    batch = fields(InteractionEnergy(KERNELS[name], route=Route.BATCHES, batch=50), x, chunks=1)
    pairs = fields(InteractionEnergy(KERNELS[name], route=Route.PAIRS, self_pairs=False), x)
    for a, b in zip(batch, pairs, strict=True):
        assert torch.allclose(a, b, rtol=1e-12)


def _uniform(width: float) -> float:
    """E e^{−|x−y|²/(2σ²)} for x and y uniform on [0, 1], where |x−y| has the density 2(1 − r)."""
    inner = width * (math.pi / 2) ** 0.5 * math.erf(1 / (width * 2**0.5))
    return 2 * (inner - width**2 * (1 - math.exp(-0.5 / width**2)))


@pytest.mark.parametrize("route", [Route.PAIRS, Route.BATCHES])
@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_a_narrow_kernel_has_the_energy_of_its_law(law, route):
    """Within four standard errors of the pairs' mean, where J(0)/(2n) is many times as much."""
    n, amplitude, width = 4000, 1e3, 1e-3
    random = torch.Generator().manual_seed(4)
    if law == "uniform":
        x, mean = torch.rand(n, 2, generator=random), _uniform(width) ** 2
        square = _uniform(width / 2**0.5) ** 2
    else:
        x, mean = torch.randn(n, 2, generator=random), width**2 / (2 + width**2)
        square = width**2 / (4 + width**2)
    kernel = GaussianKernel(amplitude, width)
    _, potential = fields(InteractionEnergy(kernel, route=route), x)
    expected = -0.5 * amplitude * mean
    # Each pair counts by itself, and by what a particle's place has to do with all of its pairs.
    pairs = n * (n if route is Route.PAIRS else 64) / 2
    error = 0.5 * amplitude * ((square / pairs) ** 0.5 + 2 * mean / n**0.5)
    found = float(potential.mean())
    assert abs(found - expected) < 4 * error
    own = amplitude / (2 * n)
    assert own > 30 * max(error, abs(expected))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("dimension", [2, 3, 6])
@pytest.mark.parametrize("width", [1.0, 1e-2, 1e-3])
def test_single_precision_sees_narrow_kernels(width, dimension, shift):
    """Energy and force to 1e-4 of their largest values, wherever the particles are."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200, dimension, generator=random)
    near = x + width * torch.randn(200, dimension, generator=random)
    x = (torch.cat([x, near]) + shift).float()
    energy = InteractionEnergy(GaussianKernel(1.0, width), route=Route.PAIRS)
    for exact, single in zip(fields(energy, x.double()), fields(energy, x), strict=True):
        assert float((single - exact).abs().max()) <= 1e-4 * float(exact.abs().max())


class Wrong(Kernel):
    """j(s) = s², with a value and a weight that may be otherwise."""

    def __init__(self, value=lambda s: s * s, weight=lambda s: 4 * s):
        self._value, self._weight = value, weight

    def __repr__(self) -> str:
        return "Wrong()"

    def value(self, square: Tensor) -> Tensor:
        return self._value(square)

    def weight(self, square: Tensor) -> Tensor:
        return self._weight(square)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InteractionEnergy(lambda r: r), "is no kernel.*UserKernel"),
        (lambda: InteractionEnergy(GaussianKernel), "class GaussianKernel is no kernel"),
        (lambda: InteractionEnergy(Wrong(value=lambda s: 1.0)), "is a float where a torch tensor"),
        (lambda: InteractionEnergy(Wrong(value=lambda s: s.sum(-1))), r"shape \(2,\)"),
        (lambda: InteractionEnergy(Wrong(value=lambda s: s.double())), "in float64 where.*float32"),
        (lambda: InteractionEnergy(Wrong(value=lambda s: s / s.sum())), "other distances"),
        (
            lambda: InteractionEnergy(Wrong(value=lambda s: s.no())),
            "cannot be eval.*AttributeError",
        ),
        (lambda: InteractionEnergy(Wrong(weight=lambda s: 2 * s)), "twice the derivative"),
        (lambda: InteractionEnergy(GaussianKernel(), "2"), "must be finite, a number, got '2'"),
        (lambda: InteractionEnergy(GaussianKernel(), route="all"), "route must be one of"),
        (lambda: InteractionEnergy(GaussianKernel(), batch=2.5), "at least 2 members"),
        (lambda: InteractionEnergy(GaussianKernel(), self_pairs="no"), "True or False"),
        (lambda: UserKernel(3.0), "3.0 is no function"),
        (lambda: UserKernel(lambda s: 1.0), "returned a float"),
        (lambda: GaussianKernel("1"), "finite amplitude"),
        (lambda: PowerLaw(None), "finite exponents"),
    ],
)
def test_kernels_of_the_wrong_kind_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)
    assert InteractionEnergy(Wrong()).kernel  # as it should be


def test_random_batches_are_unbiased(monkeypatch):
    """Over all draws of the batches the mean force on one particle is that of all pairs: within
    four standard errors, which are small against the force."""
    monkeypatch.setattr(batches, "_CPU_GROUP", 500)
    energy = InteractionEnergy(GaussianKernel(), route=Route.BATCHES, batch=7)
    x = torch.randn(65, 2)
    exact, _ = fields(InteractionEnergy(GaussianKernel(), route=Route.PAIRS, self_pairs=False), x)
    found = []
    for _ in range(800):
        order = torch.randperm(len(x))
        force = torch.empty_like(x)
        force[order] = fields(energy, x[order], chunks=1)[0]
        found.append(force)
    estimates = torch.stack(found)
    error = (estimates.mean(0) - exact).abs()
    standard = estimates.std(0) / len(found) ** 0.5
    assert float(standard.mean()) < 0.1 * float(exact.abs().mean())
    assert bool((error <= 4.5 * standard).all())
    assert float((error / standard).square().mean()) < 1.3


def test_particles_that_do_not_fill_their_batches_all_have_partners():
    for n in (2, 7, 64, 127, 130):
        force, _ = fields(InteractionEnergy(GaussianKernel(), route=Route.BATCHES),
                          torch.randn(n, 2), chunks=1)  # fmt: skip
        assert force.shape == (n, 2)
        assert bool((force.abs().sum(1) > 0).all())


def test_single_precision_far_from_the_origin():
    """Tiles are centred: products of large coordinates would lose the small differences."""
    x = torch.randn(300, 5)
    energy = InteractionEnergy(GaussianKernel(), route=Route.PAIRS)
    exact, _ = fields(energy, x)
    shifted, _ = fields(energy, (x + 30).float())
    assert float((shifted - exact).abs().max()) < 1e-4 * float(exact.abs().max())


@pytest.mark.parametrize(
    ("kernel", "n", "route"),
    [
        (PowerLaw(4, 2), 10**7, Route.MOMENTS),
        (Power(2), 10**7, Route.MOMENTS),
        (Power(0), 10**5, Route.PAIRS),
        (GaussianKernel(), 10_000, Route.PAIRS),
        (GaussianKernel(), 10**6, Route.BATCHES),
    ],
)
def test_the_automatic_route(kernel, n, route):
    assert InteractionEnergy(kernel).route_for(n) is route


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InteractionEnergy(PowerLaw(2, 0), self_pairs=True), "singular at 0.*false"),
        (lambda: InteractionEnergy(GaussianKernel(), route="moments"), "even powers"),
        (lambda: InteractionEnergy(GaussianKernel(), batch=1), "at least 2 members"),
        (
            lambda: InteractionEnergy(GaussianKernel(), route="batches", self_pairs=True),
            "no particle acts on itself",
        ),
        (lambda: InteractionEnergy(GaussianKernel(), float("nan")), "must be finite"),
        (lambda: InteractionEnergy(KERNELS["nonradial"], self_pairs=True), "may be, singular at 0"),
        (lambda: PowerLaw(2, 2), "differ"),
        (lambda: Power(float("inf")), "finite exponent"),
        (lambda: Power(-2).check_dimension(2), "infinite in dimension 2"),
        (lambda: ScreenedCoulomb().check_dimension(1), "infinite in dimension 1"),
        (lambda: ScreenedCoulomb(0.0), "length above 0"),
        (lambda: ScreenedCoulomb(1.0, field=1), "2 or 3 dimensions"),
        (lambda: Softened(KERNELS["nonradial"], 0.1), "only a radial kernel"),
        (lambda: Softened(Power(0), -0.1), "length above 0"),
        (lambda: GaussianKernel(1.0, 0.0), "positive width"),
        (lambda: PowerLaw(2, -3).check_dimension(3), "infinite in dimension 3"),
        (lambda: UserKernel(lambda s: s**-2).check_dimension(1), "infinite in dimension 1.*-4"),
        (lambda: UserKernel(lambda square: square.sum()), "elementwise"),
        (lambda: UserKernel(lambda square: torch.log(square - 2)), "not finite"),
        (lambda: UserKernel(lambda square: square.nope()), "cannot be evaluated"),
    ],
)
def test_what_cannot_be_summed_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_one_particle_meets_nobody():
    energy = InteractionEnergy(GaussianKernel(), route=Route.BATCHES)
    assert torch.equal(fields(energy, torch.randn(1, 2), 1)[0], torch.zeros(1, 2))
    with pytest.raises(InputError, match="at least 2 particles, got 1"):
        InteractionEnergy(PowerLaw(2, 0)).check_particles(1)


@pytest.mark.parametrize(
    "name", ["log", "Riesz", "rough", "screened", "nonradial", "anisotropic log"]
)
def test_particles_in_one_place_do_not_push_each_other(name):
    """Rounding brings them together in single precision: 0, not infinity times 0."""
    x = torch.randn(40, 1)
    x[7] = x[3]
    energy = InteractionEnergy(KERNELS[name], route=Route.PAIRS)
    force, potential = fields(energy, x)
    assert bool(torch.isfinite(force).all() & torch.isfinite(potential).all())
    assert torch.equal(force[7], force[3])
    assert float(force.sum(0).abs().max()) < 1e-9 * float(force.abs().sum())


def test_all_pairs_are_kept_where_self_pairs_are_asked_for():
    assert InteractionEnergy(GaussianKernel(), self_pairs=True).route_for(10**6) is Route.PAIRS


def test_routes_in_single_precision():
    x = torch.randn(300, 3)
    for kernel, route in ((PowerLaw(4, 2), Route.MOMENTS), (GaussianKernel(), Route.PAIRS)):
        energy = InteractionEnergy(kernel, route=route)
        for exact, single in zip(fields(energy, x), fields(energy, x.float()), strict=True):
            assert single.dtype == torch.float32
            assert torch.allclose(single.double(), exact, rtol=1e-4, atol=1e-4)


def test_two_functions_of_one_name_are_told_apart():
    """The store compares them by what they print when a run is resumed."""
    assert repr(UserKernel(lambda s: s)) != repr(UserKernel(lambda s: -s))
    kernels = [NonradialKernel(lambda x, c=c: c * (x**2).sum(1), "J") for c in (1.0, 2.0)]
    for kernel in kernels:
        kernel.check_dimension(2)
    assert repr(kernels[0]) != repr(kernels[1])


@pytest.mark.parametrize(
    "j",
    [
        lambda s: s.clamp(max=1.0) / 2, lambda s: torch.relu(1 - s), lambda s: torch.relu(2 - s),
        lambda s: torch.where(s < 1, 1 - s, 0.0), lambda s: s.clamp(max=4.0),
    ],
)  # fmt: skip
def test_kernels_with_a_kink_at_a_round_number_are_kernels(j):
    """Bounded confidence, for one: their one-sided slopes are right."""
    energy, near = InteractionEnergy(UserKernel(j, "kinked")), torch.tensor([0.3, 0.6])
    after, before = (j(near + step) for step in (1e-6, -1e-6))
    assert torch.allclose(energy.kernel.weight(near), (after - before) / 1e-6, atol=1e-6)


@pytest.mark.parametrize("d", [2, 5])
def test_a_weight_that_is_one_number_expanded_counts_for_every_pair(d):
    """J = |x|² pulls with 2 (x − x̄) n/(n − 1); it was set to 0 with the pairs left out."""

    class Square(Kernel):
        def value(self, square):
            return square

        def weight(self, square):
            return torch.full((), 2.0, dtype=square.dtype).expand_as(square)

    x = torch.randn(50, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (field,) = InteractionEnergy(Square()).fields(
        Particles([x], [[50]], LocalCommunicator()), potential=True
    )
    assert torch.allclose(field.force, 2 * (x - x.mean(0)) * 50 / 49, atol=1e-12)


def _odd(x: Tensor) -> Tensor:
    return x[:, 0] + (x**2).sum(1)


def _detached(x: Tensor) -> Tensor:
    return (x * x.detach()).sum(1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_odd, r"not even: J\(x\) = .* and J\(−x\) = .*sees \(J\(x\) \+ J\(−x\)\)/2 only"),
        (lambda x: x**2, r"returned shape \(12, 2\).*one value for each difference"),
        (lambda x: (x**2).sum(), "returned shape"),
        (lambda x: (x**2).sum(1) / (x**2).sum(), "depends on the other differences"),
        (lambda x: (x**2).sum(1).log().log(), "not finite away from 0"),
        (lambda x: (x.detach() ** 2).sum(1), "cannot differentiate"),
        (_detached, "gradient that torch finds"),
        (lambda x: x.nope(), "cannot be evaluated"),
        (3.0, "3.0 is no function"),
    ],
)
def test_a_function_that_is_no_kernel_is_refused_in_one_line(function, message):
    with pytest.raises(InputError, match=message) as refused:
        wgf.Problem([InteractionEnergy(NonradialKernel(function, "J"))], wgf.Gaussian(2), 1.0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kernel", [Softened(Power(0), 1e-6), Softened(Power(-0.5), 1e-6)], ids=str)
def test_what_a_nearly_singular_kernel_does_to_a_particle_itself_stays_out(kernel):
    """E|x − y|^q/q of normal particles, |x − y|² = 4 times a chi-squared variable over 2: within
    four standard errors; J(0)/(2n) would be many times as much for q < 0."""
    n, q = 2000, kernel.kernel.exponent
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    _, potential = fields(InteractionEnergy(kernel), x)
    log_mean = 0.5 * (math.log(4) - 0.5772156649015329)
    mean = log_mean if q == 0 else 2**q * math.gamma(1 + q / 2) / q
    error = float(potential.std()) * 2 / n**0.5
    assert abs(float(potential.mean()) - mean / 2) < 4 * error
    own = abs(float(kernel.value(torch.zeros(1, dtype=torch.float64)))) / (2 * n)
    assert q == 0 or own > 10 * error
