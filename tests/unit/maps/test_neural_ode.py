"""A neural ODE: its volumes against determinants, its inverse, and what it does in many
dimensions."""

from __future__ import annotations

import pytest
import torch
from bound import ensemble_of
from oracles import perturb
from torch.func import jacrev, vmap

import hpc_wgf as wgf
from hpc_wgf.choices import Preconditioning
from hpc_wgf.krylov import minres
from hpc_wgf.maps import NeuralODE, low_rank_linearization, ode_linearization
from hpc_wgf.maps.paths import LowRankPaths, WholePaths, paths_from
from hpc_wgf.maps.velocity_networks import integrate
from hpc_wgf.metric import GramOperator, default_preconditioner
from hpc_wgf.metric.choice import build_for


def strong(dimension: int, size: float, steps: int = 8, **options) -> NeuralODE:
    """A map whose velocity is of the given size."""
    map = NeuralODE(dimension, 24, steps=steps, **options)
    random = torch.Generator().manual_seed(1)
    for name, value in map.velocity.named_parameters():
        width = value.shape[-1] if name in ("U", "A") else 1
        if name not in ("W", "c"):
            value.data.copy_(size * torch.randn(value.shape, generator=random) / width**0.5)
    return map


def determinants(map: NeuralODE, z: torch.Tensor) -> torch.Tensor:
    """log|det ∇T| of the discrete map."""
    return torch.linalg.slogdet(vmap(jacrev(lambda z: map(z[None])[0]))(z)).logabsdet.detach()


def test_log_determinants_are_those_of_the_discrete_map():
    """By the fourth order of the number of steps, and to 1e-4 with eight."""
    z, errors = torch.randn(300, 2), []
    for steps in (4, 8, 16):
        map = strong(2, 1.0, steps)
        log_det = map.transport(z).log_det.detach()
        assert log_det.abs().max() > 0.5
        errors.append(float((log_det - determinants(map, z)).abs().max()))
    assert errors[1] < 1e-4
    assert errors[1] > 1e-7
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


@pytest.mark.parametrize("steps", [4, 8])
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_too_few_steps_count_as_folds(dimension, steps):
    """Wherever log-determinants are off by more than 1e-3 at one sample in a thousand, which ends a
    step; and never where they are accurate to 2e-5."""
    z, seen = torch.randn(1000, dimension), set()
    for size in (0.5, 1.0, 2.0, 4.0):
        map = strong(dimension, size, steps)
        image = map.transport(z)
        off = (image.log_det - determinants(map, z)).detach().abs()
        wrong, accurate = bool((off > 1e-3).any()), float(off.max()) < 2e-5
        folded = int((~image.positive).sum())
        assert folded > 1 or not wrong
        assert folded == 0 or not accurate
        seen.add(folded > 0)
    assert seen == {True, False}


@pytest.mark.parametrize(("dimension", "width"), [(3, 4), (7, 3)])
def test_linear_contractions_beyond_what_steps_follow_count_as_folds(dimension, width):
    """∇·v is constant there, so that its integral is exact, and the discrete map is not; the
    second case takes determinants of the size of the width."""
    map = NeuralODE(dimension, width, linear=width > dimension)
    z = torch.randn(50, dimension)
    for rate, follows in ((-0.5, True), (-4.0, False)):
        if map.velocity.A is not None:
            map.velocity.A.data.copy_(rate * torch.eye(dimension))
        else:
            map.velocity.U.data.copy_(rate * torch.linalg.pinv(map.velocity.W))
        off = float((map.transport(z).log_det - determinants(map, z)).detach().abs().max())
        assert (off < 1e-3) is follows
        assert bool(map.transport(z).positive.all()) is follows


def test_a_run_of_too_few_steps_says_what_to_do():
    """From a deviation of 10 to 1, which four steps do not follow to 1e-3."""
    potential, start = wgf.PotentialEnergy(wgf.Quadratic(1)), wgf.Gaussian(1, covariance=100.0)
    problem = wgf.Problem([potential, wgf.Entropy(1.0)], start, until=4.0)
    options = wgf.PWGFOptions(samples=50, step_size=0.5)
    map = wgf.Composition(wgf.Affine(1), NeuralODE(1, 2, steps=4))
    with pytest.raises(wgf.RunError, match=r"has folded.*raise the steps of the neural-ode map"):
        wgf.solve(problem, map.parts[1], options, stages=wgf.Stages("none"))
    assert map.fold_remedy == map.parts[1].fold_remedy


def test_fewer_than_four_steps_are_refused():
    with pytest.raises(wgf.InputError, match="of 3 steps .* take at least 4"):
        NeuralODE(2, 5, steps=3)


@pytest.mark.parametrize("dimension", [2, 50])
def test_the_inverse(dimension):
    """Also where backward paths alone are off by 1e-5."""
    map, z = strong(dimension, 1.0), torch.randn(200, dimension)
    with torch.no_grad():
        x = map(z)
        assert (map.inverse(x) - z).abs().max() < 1e-12
        assert (x - z).norm(dim=1).mean() > 0.5


def test_a_thousand_dimensions():
    """Volume and score along the flow, and products that are transposes of each other."""
    d, n, step = 1000, 3, 1e-4
    map, z, u = strong(d, 0.5, linear=False), torch.randn(n, d), torch.randn(n, d)
    with torch.no_grad():
        image = map.transport(z, -z)
        after, before = (map.transport(z + sign * step * u) for sign in (1, -1))
        moved = (after.x - before.x) / (2 * step)
        bent = (after.log_det - before.log_det) / (2 * step)
    assert torch.allclose((image.score * moved).sum(1), -(z * u).sum(1) - bent, rtol=1e-5)
    J, v = map.linearize(z), torch.randn(map.parameter_count())
    pushed, (pulled, _) = J.jvp(v), J.vjp(u)
    assert float((u * pushed).sum()) == pytest.approx(float(v @ pulled), rel=1e-10)
    assert torch.allclose(J.jvp(torch.zeros_like(v), u), moved, rtol=1e-6, atol=1e-7)


def test_paths_in_few_coordinates_are_those_in_all():
    map, z, score = strong(30, 1.0, linear=False), torch.randn(20, 30), torch.randn(20, 30)
    found = [Paths(map.velocity, z, score) for Paths in (LowRankPaths, WholePaths)]
    assert type(paths_from(map.velocity, z, score)) is LowRankPaths
    ends = [integrate(paths.rate, paths.start, map.steps) for paths in found]
    volumes = [y[:, paths.volume] for y, paths in zip(ends, found, strict=True)]
    torch.testing.assert_close(*volumes, rtol=1e-11, atol=1e-12)
    for ours, theirs in zip(*(p.end(y) for y, p in zip(ends, found, strict=True)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def products(map: NeuralODE, kind: Preconditioning) -> int:
    """Products of a solve with Ĝ on Gaussian samples."""
    ensemble = ensemble_of(torch.randn(1000, map.dimension).split(500))
    gram = GramOperator([map.linearize(z) for z in ensemble.points], ensemble)
    b = gram.matvec(torch.randn(map.parameter_count()))
    model = build_for(map, ensemble, kind, 1e-6).model
    shift = 1e-6 * model.norm
    built = model.shifted(shift, torch.float64)
    return minres(gram, b, preconditioner=built, shift=shift, rtol=1e-4)[1].products


def test_preconditioners_of_rows():
    map = perturb(NeuralODE(2, 12), 0.6)
    assert default_preconditioner(map) is Preconditioning.DENSE
    assert products(map, Preconditioning.DENSE) <= 4
    assert products(map, Preconditioning.NYSTROM) <= 4


@pytest.mark.parametrize(("width", "linear"), [(4, True), (2, False)])
def test_layers_of_many_parameters_are_exact_at_the_start(monkeypatch, width, linear):
    """There all sensitivities B_e are the same, but for the weights of the stages."""
    map, z, e = NeuralODE(3, width, linear=linear), torch.randn(5, 3), torch.randn(5, 2, 3)
    map.velocity.w.data.normal_()

    def rows() -> torch.Tensor:
        layers, back = map.linearize(z).layers(e)
        assert torch.equal(back, e)
        found = torch.full((5, 2, map.parameter_count()), torch.nan)
        for layer in layers:
            one = layer.sensitivity[..., None] * layer.input[:, None, None]
            found[:, :, layer.index] = one
        return found

    expected = rows()
    monkeypatch.setattr(ode_linearization, "MOST_ROWS", 0)
    monkeypatch.setattr(low_rank_linearization, "MOST_ROWS", 0)
    torch.testing.assert_close(rows(), expected, rtol=1e-12, atol=1e-14)
    assert expected.abs().sum() > 1


@pytest.mark.parametrize(
    ("dimension", "width", "kind"),
    [(5, 64, Preconditioning.DENSE), (15, 32, Preconditioning.DENSE),
     (30, 64, Preconditioning.NONE)],
)  # fmt: skip
def test_rows_pay_where_products_are_dear(dimension, width, kind):
    assert default_preconditioner(NeuralODE(dimension, width)) is kind
