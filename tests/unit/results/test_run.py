"""A stored run as an object: what it shows, its maps, new samples, draws."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.analysis import MapAt, Trajectory
from hpc_wgf.errors import WgfWarning


@pytest.fixture
def run(ou):
    return wgf.open_run(ou)


def test_it_says_in_a_line_what_it_is_and_shows_a_card(run):
    said = repr(run)
    assert "\n" not in said
    assert len(said) < 200
    assert "ou-2d, d = 2: t = 0 … 0.2, 3 rows, 4 steps" in said
    card = run._repr_html_()
    assert "ou-2d" in card
    assert "data:image/png;base64," in card
    assert "map error / displacement" in card


def test_preimages_of_images_are_the_points(run):
    z = run.sample(500, 0.2).z
    assert np.abs(run.inverse(run.push(z)) - z).max() < 1e-8
    for time in (0.0, 0.13):
        assert np.abs(run.inverse(run.push(z, time), time) - z).max() < 1e-8


def test_in_single_precision_too(tmp_path):
    """Whatever points are given, they are taken in double precision."""
    spec = wgf.load_problem("ou-2d", "problem.until=0.1", "method.samples=100")
    method = wgf.PWGFOptions(samples=100, dtype="float32", step_size=0.05)
    wgf.solve(spec.problem, wgf.Affine(2), method, wgf.Output(tmp_path / "run", every=0.1))
    run = wgf.open_run(tmp_path / "run", wgf.RunSpec(spec.problem, wgf.Affine(2), method))
    z = torch.randn(50, 2, dtype=torch.float32)
    assert (run.inverse(run.push(z)) - z).abs().max() < 1e-8
    assert run.sample(10).x.dtype == np.float32


def test_densities_and_scores_are_those_of_the_exact_law(run):
    mean, covariance = run.problem.exact.law(0.2)
    law = wgf.Gaussian(2, mean, covariance)
    x = law.sample(np.random.default_rng(0), 300)
    assert float((run.log_density(x) - law.log_density(x)).abs().mean()) < 5e-3
    assert float((run.score(x) - law.score(x)).abs().mean()) < 0.03


def test_a_density_on_a_grid_has_mass_one(run):
    along = np.linspace(-5.0, 6.0, 150)
    grid = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2)
    mass = np.exp(run.log_density(grid, 0.15)).sum() * (along[1] - along[0]) ** 2
    assert mass == pytest.approx(1.0, abs=1e-3)


def test_new_samples_have_all_that_is_known_of_them(run, ou):
    samples = run.sample(700, 0.1, seed=3)
    cloud = Trajectory.of(ou).sample(700, 0.1, seed=3)
    assert np.array_equal(samples.x, cloud.x.numpy())
    assert np.array_equal(samples.log_density, cloud.log_density.numpy())
    assert np.array_equal(samples.score, cloud.score.numpy())
    assert np.abs(run.push(samples.z, 0.1) - samples.x).max() < 1e-12
    assert (samples.weight == 1).all()
    assert (samples.folded, samples.time, samples.seed) == (0, 0.1, 3)


def test_where_the_support_ends_the_density_does(tmp_path):
    """Outside there is a density, 0, and no score."""
    problem = wgf.Problem([wgf.InternalEnergy(2.0)], wgf.Barenblatt(2, 2.0), until=0.1)
    map, method = wgf.Affine(2), wgf.PWGFOptions(samples=200, step_size=0.05)
    wgf.solve(problem, map, method, wgf.Output(tmp_path / "run", every=0.1))
    run = wgf.open_run(tmp_path / "run", wgf.RunSpec(problem, map, method))
    radius = problem.start.radius * 1.1**0.25  # of the exact solution at t = 0.1
    x = radius * torch.tensor([[0.9, 0.0], [1.1, 0.0], [0.0, -1.2]])
    log_density = run.log_density(x)
    assert log_density[0].isfinite()
    assert log_density[1:].isneginf().all()
    with pytest.raises(wgf.InputError, match="2 of 3 points, first .* outside of the support"):
        run.score(x)


def test_what_was_solved_is_asked_for_where_the_store_does_not_say_it(tmp_path):
    problem = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(1), until=0.1)
    map, method = wgf.Affine(1), wgf.PWGFOptions(samples=50, step_size=0.1)
    wgf.solve(problem, map, method, wgf.Output(tmp_path / "run", every=0.1))
    run = wgf.open_run(tmp_path / "run")
    with pytest.raises(wgf.InputError, match=r"from Python objects.* open_run\(path, RunSpec") as e:
        run.push(np.zeros((1, 1)))
    assert "\n" not in str(e.value)
    assert "data:image" in run._repr_html_()
    with pytest.warns(WgfWarning, match="neither densities nor exact solutions are drawn"):
        run.plot.clouds()
    given = wgf.open_run(tmp_path / "run", wgf.RunSpec(problem, map, method))
    assert given.w2(given).value == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: run.map_at(3.0), "t = 3 is outside of .* from t = 0 to 0.2"),
        (lambda run: run.sample(0), "at least one sample"),
        (lambda run: run.sample(10, seed=-1), "a seed of at least 0"),
        (lambda run: run.push(np.zeros(2)), r"shape \(2,\) were given: expected \(n, 2\)"),
        (lambda run: run.push([["a", "b"]]), "expected an array of shape"),
        (lambda run: run.inverse(np.array([[np.inf, 0.0]])), "not finite"),
        (lambda run: run.w2(3), "another run"),
        (lambda run: run.to_arviz(0.15), "no particles at t = 0.15: the nearest .* 0.[12]"),
    ],
)  # fmt: skip
def test_bad_questions_get_a_line(run, call, words):
    with pytest.raises(wgf.InputError, match=words) as caught:
        call(run)
    assert "\n" not in str(caught.value)


def test_a_map_that_does_not_reach_a_point_says_so(run):
    flat = run.map_at()
    for parameter in flat.whole.parameters():
        parameter.data.zero_()
    flat.whole.parts[0].A.data.copy_(-torch.eye(2))
    with pytest.raises(wgf.InputError, match="no preimage was found for 1 of 1 points"):
        flat.inverse(np.ones((1, 2)))


def test_a_fold_is_warned_of(run):
    path = run.trajectory.at(0.2)
    folded = MapAt(run.problem, 0.2, path, folded=3)
    with pytest.warns(WgfWarning, match="folded at 3 evaluation samples"):
        folded.log_density(np.zeros((1, 2)))


def test_draws_need_arviz(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(wgf.InputError, match=r"hpc-wgf\[arviz\]"):
        run.to_arviz()


@pytest.mark.parametrize("version", ["0.23.1", "1.2.0"])
def test_draws_are_one_chain_with_their_weights(run, monkeypatch, version):
    """As from_dict takes them before and after its change in version 1."""

    def from_dict(data=None, *, coords, dims, attrs, **groups):
        of_all = attrs if data is None else attrs["/"]
        return {**(data or groups), "attrs": of_all, "dims": dims}

    arviz = SimpleNamespace(__version__=version, from_dict=from_dict)
    monkeypatch.setitem(sys.modules, "arviz", arviz)
    given = run.to_arviz(0.1)
    assert given["dims"] == {"x": ["axis"]}
    assert given["posterior"]["x"].shape == (1, 300, 2)
    assert np.array_equal(given["posterior"]["x"][0], run.particles(1))
    assert np.array_equal(given["sample_stats"]["lp"][0], run.read("log_density", 1))
    assert (given["sample_stats"]["log_weight"] == 0).all()
    assert given["attrs"]["time"] == 0.1


def test_what_is_no_store_is_refused(tmp_path, ou):
    with pytest.raises(wgf.InputError, match="no store at"):
        wgf.open_run(tmp_path / "nix")
    shutil.copytree(ou, tmp_path / "cut")
    (tmp_path / "cut" / "zarr.json").unlink()
    with pytest.raises(wgf.InputError, match="damaged"):
        wgf.open_run(tmp_path / "cut")
