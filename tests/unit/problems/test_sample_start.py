"""A start that samples tell: which rows are drawn, what can be solved, what is said of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.ensemble import Sampler
from hpc_wgf.parallel import LocalCommunicator, RandomStream, SampleBlocks
from hpc_wgf.problems import Product
from hpc_wgf.store import check

MEAN, COVARIANCE = [1.0, -0.5], [[1.0, 0.3], [0.3, 0.5]]
N = 100_000
POTENTIAL = wgf.PotentialEnergy(wgf.Quadratic(2, 0.0, [[1.0, 0.2], [0.2, 2.0]]))
ENERGY_FORM = wgf.PWGFOptions(samples=4000, form="energy", step_size=0.1)


def rows(count, seed=0):
    return wgf.Gaussian(2, MEAN, COVARIANCE).sample(np.random.default_rng(seed), count).numpy()


@pytest.fixture(scope="module")
def numbered():
    """Samples whose first coordinate is the number of their row."""
    values = rows(4000)
    values[:, 0] = np.arange(4000)
    return wgf.SampleStart(values)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "x.npy"
    np.save(path, rows(N))
    return path


def drawn(samples, stream, step=0, *, count=500, place=None, seed=0):
    """The numbers of the rows of a sample."""
    sampler = Sampler(samples, LocalCommunicator(), seed=seed, dtype=torch.float64)
    blocks = SampleBlocks.automatic(count)
    ensemble = sampler.draw(blocks, sampler.parts(blocks, 512), stream, step, place=place)
    return torch.cat(ensemble.points)[:, 0].long().tolist()


def test_steps_walk_through_the_file_and_never_meet_the_evaluation_sample(numbered):
    steps = [drawn(numbered, RandomStream.STEP, k) for k in range(6)]
    evaluation = drawn(numbered, RandomStream.EVALUATION, count=999)
    assert len({row for step in steps for row in step}) == 6 * 500  # each row once
    assert len(set(evaluation)) == 999
    assert not set(evaluation) & set(drawn(numbered, RandomStream.STEP, count=3000))
    again = drawn(numbered, RandomStream.STEP, 7)
    assert set(again) & {row for step in steps for row in step}  # it has begun anew
    assert len(set(again)) == 500
    assert drawn(numbered, RandomStream.STEP, seed=1) != steps[0]


def test_a_sample_that_holds_out_for_its_step_lies_between_two_steps(numbered):
    step = drawn(numbered, RandomStream.STEP, place=700)
    second = drawn(numbered, RandomStream.VALIDATION, count=200, place=1200)
    assert not set(step) & set(second)


def test_the_analysis_sees_those_first_that_no_step_has_seen(numbered):
    steps = set(drawn(numbered, RandomStream.STEP, count=3000))
    assert not steps & set(drawn(numbered, RandomStream.ANALYSIS, count=990))
    assert len(set(drawn(numbered, RandomStream.ANALYSIS, count=3999))) == 3999


@pytest.mark.parametrize(
    ("stream", "count", "said"),
    [
        (RandomStream.STEP, 3004, "fewer method.samples"),
        (RandomStream.EVALUATION, 1002, "are held out for the evaluation: take fewer output."),
        (RandomStream.ANALYSIS, 4001, "take fewer"),
    ],
)
def test_a_sample_of_more_rows_than_there_are(numbered, stream, count, said):
    with pytest.raises(wgf.InputError, match=said):
        drawn(numbered, stream, count=count)


def solved(start, *, form="energy", **output):
    problem = wgf.Problem([POTENTIAL, wgf.Entropy(0.5)], start, until=0.5)
    options = wgf.PWGFOptions(samples=4000, form=form, step_size=0.1)
    return wgf.solve(problem, wgf.Affine(2), options, wgf.Output(**output))


@pytest.mark.filterwarnings("ignore::hpc_wgf.errors.WgfWarning")
def test_moments_are_those_of_the_run_from_the_density(file, tmp_path):
    """Within three standard errors; F differs by β∫λ log λ = −β(log 2πe + ½ log det C)."""
    apart = {"particles": 20_000, "every": 0.5, "bound": False}
    by_samples = solved(wgf.SampleStart(file), path=tmp_path / "s", **apart)
    by_density = solved(wgf.Gaussian(2, MEAN, COVARIANCE), path=tmp_path / "d", **apart)
    moments, errors = [], []
    for run in (by_samples, by_density):
        x = wgf.open_run(run.path).particles(1, slice(0, 20_000))
        values = np.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2])
        moments.append(values.mean(1))
        errors.append(values.std(1) / len(x) ** 0.5)
    assert (np.abs(moments[0] - moments[1]) < 3 * np.hypot(*errors)).all()

    entropy = -(1 + math.log(2 * math.pi) + 0.5 * math.log(np.linalg.det(COVARIANCE)))
    known, relative = by_density.summary, by_samples.summary
    assert relative.left_out_of_energy == "β∫λ log λ"
    assert known.left_out_of_energy is None
    assert np.array(relative.energy) + 0.5 * entropy == pytest.approx(known.energy, abs=0.05)
    # Nothing is said that needs the density.
    assert (relative.kl_divergence, relative.log_z, relative.force_square_median) == (None,) * 3
    assert known.kl_divergence is not None
    stored = wgf.open_run(by_samples.path)
    assert np.isnan(stored.values("log_density")).all()
    assert check(stored) == []
    assert any("without β∫λ log λ" in line for line in relative.start_warnings)


@pytest.mark.filterwarnings("ignore::hpc_wgf.errors.WgfWarning")
def test_a_run_goes_on_bit_for_bit_and_not_with_another_file(file, tmp_path):
    def run(path, until, **more):
        problem = wgf.Problem([POTENTIAL, wgf.Entropy(0.5)], wgf.SampleStart(file), until=until)
        return wgf.solve(problem, wgf.Affine(2), ENERGY_FORM, wgf.Output(path, every=0.1), **more)

    whole = run(tmp_path / "whole", 0.4)
    run(tmp_path / "torn", 0.2)
    torn = run(tmp_path / "torn", 0.4, resume=True)
    assert torch.equal(whole.state.theta, torn.state.theta)
    trajectory = wgf.Trajectory.of(
        whole.path,
        wgf.RunSpec(
            wgf.Problem([POTENTIAL, wgf.Entropy(0.5)], wgf.SampleStart(file), until=0.4),
            wgf.Affine(2), ENERGY_FORM,
        ),
    )  # fmt: skip
    cloud = trajectory.sample(100, 0.4)
    assert bool(cloud.x.isfinite().all())
    assert bool(cloud.log_density.isnan().all() and cloud.score.isnan().all())
    with pytest.raises(wgf.InputError, match="samples alone tell the start of this run"):
        trajectory.map_at(0.4).log_density(cloud.x[:3])

    other = tmp_path / "other.npy"
    np.save(other, rows(N, seed=1))
    problem = wgf.Problem([POTENTIAL, wgf.Entropy(0.5)], wgf.SampleStart(other), until=0.5)
    with pytest.raises(wgf.InputError, match=r"start density: stored .* with digest \w+.*, given"):
        wgf.solve(problem, wgf.Affine(2), ENERGY_FORM, wgf.Output(whole.path), resume=True)


def test_position_alone_needs_no_density_and_nothing_is_left_out():
    problem = wgf.Problem([POTENTIAL], wgf.SampleStart(rows(8000)), until=0.2)
    method = wgf.PWGFOptions(samples=2000, step_size=0.1)
    summary = wgf.solve(problem, wgf.Affine(2), method).summary
    assert summary.left_out_of_energy is None
    assert summary.projection_error_fresh_relative[0] < 1e-6  # an affine force


@pytest.mark.parametrize(
    ("energy", "form", "said"),
    [
        (wgf.Entropy(0.5), "force", 'use method.form = "weak" or "energy"'),
        (wgf.InternalEnergy(2.0), "energy", 'fit one by start.density = "fitted"'),
    ],
)
def test_what_needs_the_density_is_refused(energy, form, said):
    def solve():
        problem = wgf.Problem([energy], wgf.SampleStart(rows(8000)), until=0.2)
        wgf.solve(problem, wgf.Affine(2), wgf.PWGFOptions(samples=1000, form=form))

    with pytest.raises(wgf.InputError, match=said):
        solve()


@pytest.mark.filterwarnings("ignore::hpc_wgf.errors.WgfWarning")
def test_a_fitted_density_is_as_good_as_the_true_one_for_a_gaussian(file):
    """Its energies are F itself, and it is said that the density is a fit."""
    start, known = wgf.SampleStart(file, density="fitted"), wgf.Gaussian(2, MEAN, COVARIANCE)
    z = known.sample(np.random.default_rng(1), 1000)
    assert (start.log_density(z) - known.log_density(z)).abs().mean() < 0.02
    summary = solved(start, form="force", every=0.5, bound=False).summary
    assert summary.left_out_of_energy is None
    assert None not in summary.kl_divergence
    assert "a fit, a mixture of 1 Gaussians" in summary.start_warnings[0]


def test_a_density_that_is_given_is_taken_and_has_to_fit_in_dimension():
    given = wgf.Gaussian(2, MEAN, COVARIANCE)
    samples = wgf.SampleStart(rows(100), density=given)
    z = samples.sample(np.random.default_rng(0), 5)
    assert torch.equal(samples.log_density(z), given.log_density(z))
    assert torch.equal(samples.score(z), given.score(z))
    with pytest.raises(wgf.InputError, match="has dimension 3"):
        wgf.SampleStart(rows(100), density=wgf.Gaussian(3))
    with pytest.raises(wgf.InputError, match='expected "fitted"'):
        wgf.SampleStart(rows(100), density="fit")


def test_samples_are_no_part_of_another_density():
    """Which would say log λ = 0 in its name, and lose what is held out."""
    unknown, gaussian = wgf.SampleStart(rows(300)), wgf.Gaussian(2)
    fitted = wgf.SampleStart(rows(300), density=gaussian)
    for samples in (unknown, fitted):
        for whole in (wgf.Mixture, Product):
            with pytest.raises(wgf.InputError, match="known by samples and cannot be part of a"):
                whole([gaussian, samples])
        with pytest.raises(wgf.InputError, match="is itself known by samples"):
            wgf.SampleStart(rows(300), density=samples)


def test_few_samples_and_a_share_of_none():
    with pytest.raises(wgf.InputError, match="holds 63 samples: a start density takes at least 64"):
        wgf.SampleStart(rows(63))
    with pytest.raises(wgf.InputError, match="held_out must be above 0 and below 1"):
        wgf.SampleStart(rows(100), held_out=1.0)


def test_rows_in_order_are_told():
    """Blocks of sorted rows are as good as a sixteenth of so many samples."""
    values = rows(40_000)
    assert wgf.SampleStart(values).notes() == []
    (line,) = wgf.SampleStart(values[values[:, 0].argsort()]).notes()
    assert "neighbouring rows of an array are alike" in line
    assert "Shuffle the rows" in line
