"""Other ways of solving a flow: each against an exact solution at its known order, how they are
judged, and the rows of their benchmark."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf.bench import rivals
from hpc_wgf.bench.record import record
from hpc_wgf.bench.rivals import answer, blob, grid, law, lines, metropolis, particles, paths, truth
from hpc_wgf.cli import app
from hpc_wgf.config import load_problem
from hpc_wgf.errors import InputError, RunError
from hpc_wgf.interactions import Power
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import Barenblatt, Gaussian, Quadratic
from hpc_wgf.problems.ring_flow import RingFlow

STIFFNESS, SPAN = 4.0, 2.0


def ornstein_uhlenbeck(covariance: list) -> wgf.Problem:
    """From N(0, I) towards N(1, C), to t = .4."""
    d = len(covariance)
    energy = [wgf.PotentialEnergy(Quadratic(d, 1.0, covariance)), wgf.Entropy(1.0)]
    return wgf.Problem(energy, Gaussian(d), until=0.4)


def exact_gaussian(problem: wgf.Problem) -> Gaussian:
    """The law at the end, whose map is affine."""
    d = problem.dimension
    corners = torch.cat([torch.zeros(1, d), torch.eye(d)]).double()
    x = problem.exact(problem.until, corners)
    matrix = (x[1:] - x[0]).T
    return Gaussian(d, x[0], matrix @ matrix.T)


def density_error(found: answer.Answer, exact, x: np.ndarray, volume: float) -> float:
    """∫|ρ − ρ_exact| by cells about x, (n, d)."""
    points = torch.from_numpy(x)
    apart = found.log_density(points).exp() - exact.log_density(points).exp()
    return float(apart.abs().sum()) * volume


@pytest.fixture
def _few_points(monkeypatch):
    for module in (rivals.table, truth, lines):
        monkeypatch.setattr(module, "POINTS", 2**12)


@pytest.fixture(scope="module")
def variances():
    """Of paths by 20 and 40 steps, at rest up to e^{−16}."""
    z = torch.randn(2**17, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    potential = Quadratic(1, 1.0, 1 / STIFFNESS)
    found = {}
    for steps in (20, 40):
        generator = torch.Generator().manual_seed(steps)
        x = paths.euler_maruyama(potential, 1.0, z, SPAN, steps, generator)
        found[steps] = float(x.mean()), float(x.var())
    return found


@pytest.mark.parametrize("steps", [20, 40])
def test_euler_maruyama_has_the_moments_of_its_recursion(variances, steps):
    """m ← m − λh(m − 1) and v ← (1 − λh)²v + 2h, within four standard errors."""
    h, mean, variance = SPAN / steps, 0.0, 1.0
    for _ in range(steps):
        mean += STIFFNESS * h * (1.0 - mean)
        variance = (1 - STIFFNESS * h) ** 2 * variance + 2 * h
    found = variances[steps]
    assert found[0] == pytest.approx(mean, abs=4 * (variance / 2**17) ** 0.5)
    assert found[1] == pytest.approx(variance, abs=4 * variance * (2 / 2**17) ** 0.5)


def test_euler_maruyama_is_of_weak_order_one(variances):
    errors = [variances[steps][1] - 1 / STIFFNESS for steps in (20, 40)]
    assert 1.8 < errors[0] / errors[1] < 2.8  # (1/(1 − λh/2) − 1)/λ: 2.25 for these two


def test_chains_keep_the_equilibrium_whatever_the_step():
    """Without Metropolis' rule the variance would be 1/(1 − λh/2) = 1.67 times as large."""
    z = 1.0 + 0.5 * torch.randn(2**15, 1, generator=torch.Generator().manual_seed(1)).double()
    generator = torch.Generator().manual_seed(0)
    x, accepted = metropolis.metropolis(
        Quadratic(1, 1.0, 1 / STIFFNESS), 1.0, z, 0.2, 30, generator
    )
    assert 0.5 < accepted < 0.95
    assert float(x.mean()) == pytest.approx(1.0, abs=4 * 0.5 / 2**7.5)
    assert float(x.var()) == pytest.approx(0.25, abs=4 * 0.25 / 2**7)


@pytest.mark.parametrize("covariance", [[0.25], [[0.6, 0.35], [0.35, 0.4]]])
def test_the_fokker_planck_grid_is_of_second_order(covariance):
    """Also where the fluxes along the two axes do not commute."""
    problem, dimension = ornstein_uhlenbeck(covariance), len(covariance)
    exact, errors = exact_gaussian(problem), []
    for across in (32, 64, 128):
        cells = grid.grid_over(grid.box(problem), across)
        found = grid.on_grid(problem, across)
        centres = law.points_of([cells.centres(axis) for axis in range(dimension)])
        errors.append(density_error(found, exact, centres, cells.volume))
        assert found.law.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert errors[-1] < 4e-3
    assert all(3.4 < a / b < 4.6 for a, b in pairwise(errors)), errors


def test_the_grid_keeps_the_equilibrium():
    problem = load_problem("gmm-two-moons").problem
    cells = grid.grid_over(grid.box(problem), 24)
    potential = problem.energy.potential()
    places = torch.from_numpy(law.points_of([cells.centres(axis) for axis in range(2)]))
    rho = potential(places).neg().exp().numpy().reshape(cells.cells)
    after = grid.FokkerPlanckGrid(cells, potential, 1.0).evolve(rho, 1.0, 8)
    assert np.abs(after - rho).max() < 1e-12 * rho.max()
    changed = 1.1 * rho[:, ::-1]
    assert grid.FokkerPlanckGrid(cells, potential, 1.0).evolve(changed, 1.0, 8).sum() == (
        pytest.approx(changed.sum(), rel=1e-12)
    )


def test_the_grid_of_interactions_takes_their_factors():
    """¾ of |x|²/2 draws all together by e^{−¾t}, whatever the density is."""
    energy = wgf.InteractionEnergy(Power(2.0), 0.75)
    problem = wgf.Problem(energy, Gaussian(1, 0.5, 0.25), until=0.5)
    found = grid.on_grid(problem, 256).law
    mean = found.weights @ found.points
    second = found.weights @ np.square(found.points - mean)
    assert mean == pytest.approx(0.5, abs=1e-3)
    assert second == pytest.approx(0.25 * math.exp(-0.75), rel=1e-2)


def test_lines_are_of_second_order():
    problem = ornstein_uhlenbeck([1.0, 0.25])
    exact = exact_gaussian(problem)
    cells = grid.grid_over(grid.box(problem), 64)
    x = law.points_of([cells.centres(axis) for axis in range(2)])
    errors = []
    for count in (200, 400):
        flows = lines.coordinate_flows(problem, count)
        found = answer.Answer(lambda: law.Law(x), count, lines.log_density_of(flows, problem.until))
        errors.append(density_error(found, exact, x, cells.volume))
    assert errors[1] < 2e-3
    assert 3.4 < errors[0] / errors[1] < 4.6


def test_coordinates_that_are_the_same_share_a_line():
    flows = lines.coordinate_flows(load_problem("styblinski-tang-30d").problem, 100)
    assert len(flows) == 30
    assert len({id(flow) for flow in flows}) == 1


def test_particles_move_as_their_moments_say():
    """x_i = m + e^{−tn/(n−1)}(z_i − m) under |x − y|²/2, as no particle acts on itself."""
    problem = wgf.Problem(wgf.InteractionEnergy(Power(2.0)), Gaussian(2, 1.0), until=1.5)
    z = answer.start_points(problem, 64, 7).numpy()
    x, _ = particles.moved(problem.energy, z, 1.5, 1e-10)
    exact = z.mean(0) + math.exp(-1.5 * 64 / 63) * (z - z.mean(0))
    assert np.abs(x - exact).max() < 1e-8


def test_particles_come_to_the_ring():
    """E|x − m|² of so many Sobol points is that of the exact flow up to 1/n."""
    problem = load_problem("aggregation-2d", "problem.until=2").problem
    z = answer.start_points(problem, 2048, 5)
    x, _ = particles.moved(problem.energy, z.numpy(), 2.0, 1e-8)
    apart = x - problem.exact(2.0, z).numpy()
    assert np.sqrt(np.square(apart).sum(1).mean()) < 4e-3


def test_particles_that_would_act_in_batches_are_refused():
    """As 4⁴ · 1024 of them do under kernels that are no even powers."""
    problem = wgf.Problem(wgf.InteractionEnergy(wgf.GaussianKernel(-1.0)), Gaussian(2), until=1.0)
    with pytest.raises(RunError, match="262144 particles would act in random batches"):
        particles.PARTICLES.answer(problem, 4, 0)
    batches = wgf.InteractionEnergy(Power(2.0), route="batches")
    with pytest.raises(RunError, match="1024 particles would act in random batches"):
        particles.PARTICLES.answer(wgf.Problem(batches, Gaussian(2), until=1.0), 0, 0)


def test_attraction_of_blobs_takes_a_few_rows_of_pairs_at_a_time(monkeypatch):
    met = []

    class Seen(wgf.GaussianKernel):
        def weight(self, square):
            met.append(square.numel())
            return super().weight(square)

    energy = [wgf.Entropy(1.0), wgf.InteractionEnergy(Seen(-1.0, 0.8), 0.6)]
    parts = wgf.Problem(energy, Gaussian(2), until=1.0).energy
    x = np.random.default_rng(0).standard_normal((30, 2))
    blobs = blob.Blobs(parts, np.full(30, 1 / 30), 0.7)
    at_once = blobs.velocity(x)
    met.clear()
    monkeypatch.setattr(blob, "_TOGETHER", 120)
    assert np.abs(blobs.velocity(x) - at_once).max() < 1e-14
    assert met == [120] * 7 + [60]


def test_blobs_go_down_their_regularised_energy():
    """−m_i x_i' is the gradient of Σ m F(s) + Σ m V + ½ΣΣ m m J, by automatic differentiation."""
    random = np.random.default_rng(0)
    x, masses = random.standard_normal((30, 2)), random.uniform(0.5, 1.5, 30)
    masses /= masses.sum()
    width, kernel, potential = 0.7, wgf.GaussianKernel(-1.0, 0.8), Quadratic(2, 0.3, 0.5)
    energy = [
        wgf.Entropy(0.4), wgf.InternalEnergy(3.0, 0.2), wgf.PotentialEnergy(potential),
        wgf.InteractionEnergy(kernel, 0.6),
    ]  # fmt: skip
    at, m = torch.from_numpy(x).requires_grad_(), torch.from_numpy(masses)
    square = (at[:, None] - at).square().sum(2)
    s = (-square / (4 * width**2)).exp() @ m / (4 * math.pi * width**2)
    local = 0.4 * s.log() + 0.1 * s**2 + potential(at)
    pairs = (-square / (2 * 0.8**2)).exp()
    total = m @ local + 0.3 * m @ pairs @ m
    (gradient,) = torch.autograd.grad(total, at)
    parts = wgf.Problem(energy, Gaussian(2), until=1.0).energy
    found = blob.Blobs(parts, masses, width).velocity(x)
    assert np.abs(found + (gradient / m[:, None]).numpy()).max() < 1e-6 * np.abs(found).max()


def test_the_blob_method_converges_on_the_porous_medium_equation():
    """L¹ of the density falls fourfold with half the spacing but for the edge of the support."""
    start = Barenblatt(1, 2.0, time=0.1)
    problem = wgf.Problem(wgf.InternalEnergy(2.0), start, until=0.3, start_time=0.1)
    exact = Barenblatt(1, 2.0, time=0.3)
    x = np.linspace(-1.5, 1.5, 3001)[:, None] * exact.radius
    errors = []
    for level in (0, 1, 2):
        found = blob.BLOB.answer(problem, level, 0)
        errors.append(density_error(found, exact, x, float(x[1, 0] - x[0, 0])))
    assert errors[-1] < 1e-2
    assert all(a / b > 2.5 for a, b in pairwise(errors)), errors


def test_quantiles_tell_laws_apart():
    """W₂ of N(0, 1) and N(.3, 1) is .3, also where one is given by cells."""
    points = law.Law(Gaussian(1, 0.3).from_normal(torch.special.ndtri(
        (torch.arange(20000, dtype=torch.float64)[:, None] + 0.5) / 20000)).numpy())  # fmt: skip
    faces = np.linspace(-6, 6, 61)
    cells = law.cells_as_points([0.5 * (faces[1:] + faces[:-1])], np.diff(ndtr(faces)))
    tables = [law.quantile_table(each) for each in (points, cells)]
    assert law.apart(*tables) == pytest.approx(0.3, abs=4e-3)
    assert law.apart(tables[0], tables[0]) == 0.0


def test_directions_are_the_axes_and_others():
    found = law.directions(3)
    assert np.array_equal(found[:3], np.eye(3))
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(19))
    assert len(law.directions(1)) == 1


@pytest.mark.usefixtures("_few_points")
@pytest.mark.parametrize("name", ["ou-2d-aniso", "porous-2d", "aggregation-2d"])
def test_the_truth_has_the_density_of_the_exact_map(name):
    problem = load_problem(name).problem
    found = truth.truth_of(problem)
    span = problem.until - problem.start_time
    if isinstance(problem.exact, RingFlow):
        A, B = problem.exact.factors(span)
        z = answer.start_points(problem, len(found.points), 0, 0)
        square = (z - problem.start.mean).square().sum(1)
        expected = problem.start.log_density(z) - (A / (A + B * square) ** 2).log()
    else:
        exact = exact_gaussian(problem) if name == "ou-2d-aniso" else Barenblatt(2, 2.4, time=0.6)
        expected = exact.log_density(found.points)
    assert float((found.log_density - expected).abs().max()) < 1e-5
    assert 0 < found.floor < 0.02


@pytest.mark.usefixtures("_few_points")
def test_errors_are_those_that_are_known():
    """Of a law that is off by a shift of .2: the shift, over the way; and 2(2Φ(δ/2) − 1) of the
    density, δ the shift in standard deviations."""
    problem = ornstein_uhlenbeck([0.25])
    found, exact = truth.truth_of(problem), exact_gaussian(problem)
    z = answer.start_points(problem, 2**12, 3)
    off = Gaussian(1, exact.mean + 0.2, exact.covariance)
    x = problem.exact(problem.until, z) + 0.2
    shifted = answer.Answer(lambda: law.Law(x.numpy()), 1, off.log_density)
    assert found.error(shifted) == pytest.approx(0.2 / found.way, rel=0.02)
    delta = 0.2 / float(exact.covariance.flatten()[0]) ** 0.5
    assert found.density_error(shifted) == pytest.approx(4 * ndtr(delta / 2) - 2, rel=0.02)
    assert found.error(answer.Answer(lambda: law.Law(z.numpy()), 1)) == pytest.approx(1.0, abs=0.01)
    same = answer.Answer(lambda: law.Law(x.numpy()), 1, exact.log_density)
    assert found.density_error(same) < 1e-8
    half = answer.Answer(
        lambda: law.Law(x.numpy()), 1, lambda y: exact.log_density(y) - math.log(2)
    )
    assert found.density_error(half) == pytest.approx(1.0)  # The other half is where ρ is 0.
    assert found.density_error(answer.Answer(lambda: law.Law(x.numpy()), 1)) is None


@pytest.mark.usefixtures("_few_points")
def test_rows_of_the_benchmark():
    arguments = [
        "bench", "rivals", "ou-2d-aniso:problem.until=0.2", "--set", "method.samples=300",
        "--set", 'map=[{kind="affine"}]', "--patience", "0", "--json",
        "--rival", "euler-maruyama", "--rival", "grid", "--rival", "lines", "--rival", "particles",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    shown = {row["rival"]: row for row in json.loads(done.stdout)}
    assert list(shown) == ["hpc-wgf", "euler-maruyama", "grid", "lines", "particles"]
    ours = shown["hpc-wgf"]
    assert (ours["samples"], ours["dimension"]) == (300, 2)
    assert ours["error"] < 0.01
    assert ours["error_density"] < 0.02
    assert shown["euler-maruyama"]["error_density"] is None
    assert shown["euler-maruyama"]["note"] == "no density"
    assert shown["grid"]["cells"] > 500
    assert shown["lines"]["error_density"] < 0.07
    assert "cannot answer: the energy depends on the density" in shown["particles"]["note"]
    for row in shown.values():
        assert row["truth"] == "exact map"
        if row["tried"]:  # patience 0: the first level alone
            ((size, error, density, seconds),) = row["tried"]
            assert (error, density, seconds) == (
                row["error"], row["error_density"], row["seconds"],
            )  # fmt: skip
            assert size in (row["samples"], row["cells"])


SMALL = ["method.samples=300", 'map=[{kind="affine"}]', "problem.until=0.2"]


@pytest.mark.usefixtures("_few_points")
def test_a_rival_that_diverges_leaves_the_others_their_rows(monkeypatch):
    """Its row has its last finite figures, where there are any, and says what happened."""

    def diverging(first: int) -> answer.Rival:
        def at(problem, level, seed):
            x = answer.start_points(problem, 256, seed).numpy()
            return answer.Answer(lambda: law.Law(x if level < first else np.nan * x), 256 + level)

        return answer.Rival("particles", lambda problem: "", at, levels=3)

    monkeypatch.setitem(rivals.RIVALS, "blob", diverging(0))
    monkeypatch.setitem(rivals.RIVALS, "particles", diverging(1))
    found = rivals.rows(
        ["ou-2d-aniso"], ["blob", "particles", "lines"], SMALL, 10.0, 0, LocalCommunicator()
    )
    ours, never, once, lines_row = found
    assert ours["error"] < 0.01
    assert never["error"] is None
    assert "are not finite" in never["note"]
    assert once["error"] == pytest.approx(1.0, abs=0.1)  # that of the start
    assert (once["particles"], len(once["tried"])) == (256, 1)
    assert "are not finite" in once["note"]
    assert lines_row["error"] < 0.05


@pytest.mark.usefixtures("_few_points")
def test_what_is_not_finite_is_no_answer(monkeypatch):
    problem = ornstein_uhlenbeck([0.25])
    found, x = truth.truth_of(problem), np.ones((8, 1))
    for wrong in (law.Law(np.inf * x), law.Law(x, np.full(8, np.nan))):
        with pytest.raises(RunError, match="are not finite"):
            found.error(answer.Answer(lambda wrong=wrong: wrong, 8))
    without_bound = answer.Answer(lambda: law.Law(x), 8, lambda y: y[:, 0] + math.inf)
    with pytest.raises(RunError, match="densities of the answer are not finite"):
        found.density_error(without_bound)
    monkeypatch.setattr(grid, "rough_paths", lambda problem, z: math.nan * z)
    with pytest.raises(RunError, match="are not finite"):
        grid.box(load_problem("gmm-two-moons").problem)
    blobs = blob.Blobs(problem.energy, np.ones(8) / 8, 0.1)
    with pytest.raises(RunError, match="are not finite"):
        blobs.velocity(np.nan * x)


@pytest.mark.usefixtures("_few_points")
def test_a_flow_at_rest_is_refused_before_any_work(monkeypatch):
    energy = [wgf.PotentialEnergy(Quadratic(1, 1.0, 0.25)), wgf.Entropy(1.0)]
    rest = wgf.Problem(energy, Gaussian(1, 1.0, 0.25), until=0.4)
    with pytest.raises(InputError, match="does not move up to t = 0.4: its start is its end"):
        truth.check_known(rest)
    monkeypatch.setattr(truth, "_STILL", -1.0)  # A law at rest whose points move.
    with pytest.raises(InputError, match="does not move.*its truth is off by"):
        truth.truth_of(rest)


@pytest.mark.usefixtures("_few_points")
def test_a_truth_that_fails_late_leaves_other_problems_their_rows(monkeypatch):
    of_any = rivals.table.truth_of

    def failing(problem):
        if problem.dimension == 2:
            raise InputError("the truth is not there\nand more")
        return of_any(problem)

    monkeypatch.setattr(rivals.table, "truth_of", failing)
    names = ["ou-10d", "ou-2d-aniso", "ou-10d:problem.until=0.1"]
    found = rivals.rows(names, ["particles"], SMALL, 0.0, 0, LocalCommunicator())
    assert [row["problem"] for row in found] == [*2 * names[:1], names[1], *2 * names[2:]]
    failed = found[2]
    assert failed["note"] == "the truth is not there"
    assert (failed["error"], failed["floor"], failed["truth"]) == (None, None, None)
    assert list(failed) == list(found[0])


def test_what_cannot_be_compared_is_refused(monkeypatch):
    with pytest.raises(InputError, match="no rival 'spectral'.*euler-maruyama"):
        rivals.rows(["ou-2d"], ["spectral"], [], 1.0, 0, LocalCommunicator())
    with pytest.raises(InputError, match="rosenbrock-10d.*exact map is not known.*10 dimensions"):
        truth.truth_of(load_problem("rosenbrock-10d").problem)
    with pytest.raises(InputError, match="periodic-2d go round circles"):
        rivals.rows(["ou-2d", "periodic-2d"], [], [], 1.0, 0, LocalCommunicator())
    many = LocalCommunicator()
    monkeypatch.setattr(type(many), "size", 2)
    with pytest.raises(InputError, match="one process"):
        rivals.rows(["ou-2d"], [], [], 1.0, 0, many)


@pytest.mark.parametrize(
    ("name", "unable"),
    [
        ("ou-10d", {"grid", "lines", "particles", "blob"}),
        ("styblinski-tang-30d", {"grid", "particles", "blob"}),
        ("porous-2d", {"euler-maruyama", "metropolis", "lines", "particles"}),
        ("aggregation-2d", {"euler-maruyama", "metropolis", "lines", "blob"}),
        ("aggregation-log", {"euler-maruyama", "metropolis", "grid", "lines", "blob"}),
        ("stiff-2d", {"euler-maruyama", "particles", "blob"}),
        ("moving-trap", set(rivals.RIVALS)),
    ],
)
def test_a_rival_says_what_it_cannot_solve(name, unable):
    problem = load_problem(name).problem
    refused = {name for name, rival in rivals.RIVALS.items() if rival.refusal(problem)}
    assert refused == unable


def test_a_table_in_a_terminal_has_no_lists(capsys):
    """Rows may have keys of their own, as the methods' knobs are."""
    rows = [{"a": 1, "tried": [[1, 2]], "b": 2.5}, {"a": 3, "tried": [], "c": "x"}] * 3
    record(rows, {}, torch.device("cpu"), as_json=False, out=None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["a", "b", "c"]
    assert lines[1].split() == ["1", "2.5"]
    assert lines[2].split() == ["3", "x"]
