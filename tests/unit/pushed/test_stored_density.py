"""Runs that begin from the density of a stored run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import here, solved

import hpc_wgf as wgf
from hpc_wgf.config import load
from hpc_wgf.problems import cloud_of, is_known

OU = [
    "ou-2d", "--set", 'map=[{kind="affine"}]', "--set", "method.samples=400",
    "--set", "output.every=0.25", "--set", "method.step=0.05",
]  # fmt: skip


def start(path: Path, more: str = ", time=0.5") -> str:
    """The setting of a start from a store."""
    return f'problem.start={{kind="run", path="{path}"{more}}}'


def law(time: float) -> wgf.Gaussian:
    """The exact density of the flow."""
    mean, covariance = wgf.load_problem("ou-2d").problem.exact.law(time)
    return wgf.Gaussian(2, mean, covariance)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The flow to t = 0.5."""
    path = tmp_path_factory.mktemp("first") / "first.zarr"
    solved("run", *OU, "--set", "problem.until=0.5", "--out", path)
    return path


CONTINUED = ["--set", "problem.start_time=0.5", "--set", "problem.until=1.0",
             "--set", 'map=[{kind="affine"}, {kind="block", width=4}]']  # fmt: skip


@pytest.fixture(scope="module")
def second(first, tmp_path_factory):
    """It from there to t = 1, by another map."""
    path = tmp_path_factory.mktemp("second") / "second.zarr"
    solved("run", *OU, "--set", start(first, ", time=0.5"), *CONTINUED, "--out", path)
    return path


def test_a_run_that_goes_on_from_another_follows_the_exact_flow(second):
    run, exact = wgf.open_run(second), law(1.0)
    assert run.column("time").tolist() == pytest.approx([0.5, 0.75, 1.0])
    samples = run.sample(3000, 1.0)
    x = torch.from_numpy(samples.x)
    assert float((torch.from_numpy(samples.log_density) - exact.log_density(x)).abs().mean()) < 2e-3
    assert float((torch.from_numpy(samples.score) - exact.score(x)).abs().mean()) < 1e-2
    given = exact.sample(np.random.default_rng(1), 200)
    assert float((run.log_density(given) - exact.log_density(given)).abs().mean()) < 2e-3
    # At its start it is where the other one ended.
    half = law(0.5)
    z = half.sample(np.random.default_rng(2), 200)
    assert float((run.log_density(z, 0.5) - half.log_density(z)).abs().mean()) < 2e-3


def test_what_it_begins_with_is_told(second, first):
    (note,) = wgf.open_run(second).summary.start_warnings
    assert str(first) in note
    assert "is off by about" in note


def test_images_have_the_density_and_the_score_that_their_preimages_give(first):
    """Carried on the way there, and found by inverting the map; between rows too."""
    for time in (0.5, 0.4):
        density = wgf.open_run(first).density_at(time)
        z = density.origin.sample(np.random.default_rng(0), 100)
        cloud = cloud_of(density, z)
        assert torch.equal(cloud.x, density.sample(np.random.default_rng(0), 100))
        assert float((density.log_density(cloud.x) - cloud.log_density).abs().max()) < 1e-9
        assert float((density.score(cloud.x) - cloud.score).abs().max()) < 1e-7
        assert bool(cloud.positive.all())
    assert "in units of x, and between stored rows by up to" in density.notes()[0]


def test_chains_draw_from_where_they_began(second):
    density = wgf.open_run(second).density_at()
    assert isinstance(density.origin, wgf.Gaussian)
    x, exact = density.sample(np.random.default_rng(0), 2000), law(1.0)
    assert float((density.log_density(x) - exact.log_density(x)).abs().mean()) < 2e-3
    z = density.origin.sample(np.random.default_rng(0), 2000)
    assert torch.allclose(cloud_of(density, z).x, x, rtol=0, atol=1e-12)


def test_sobol_points_are_those_of_the_origin(first, tmp_path):
    """They are more even: the mean of the images is nearer to the exact one."""
    settings = [start(first), "method.sampling=sobol", "method.samples=256", "problem.until=0.01",
                "problem.start_time=0.0"]  # fmt: skip
    solved("run", "ou-2d", *[f"--set={each}" for each in settings], "--out", tmp_path / "run")
    mean = wgf.open_run(tmp_path / "run").particles(0).mean(0)
    assert np.abs(mean - law(0.5).mean.numpy()).max() < 5e-3  # a twelfth of the random ones' noise


def test_another_file_in_its_place_is_noticed(first, tmp_path):
    """A longer run of the same is the same up to there; another one is not."""
    base, run = tmp_path / "base", tmp_path / "run"
    shutil.copytree(first, base)
    short = ["--set", "problem.until=0.1", "--set", "output.every=0.05"]
    solved("run", *OU, *short, "--set", start(base, ", time=0.5"), "--out", run)
    solved("resume", base, "--until", "0.6")
    assert here("resume", run, "--until", "0.15").returncode == 0
    shutil.rmtree(base)
    more = ["--set", "problem.until=0.5", "--set", "method.seed=1"]
    solved("run", *OU, *more, "--out", base)
    said = here("resume", run, "--until", "0.2")
    assert said.returncode == 2
    assert "start density: stored StoredDensity(ou-2d at t = 0.5 with digest" in said.stderr


def test_a_store_keeps_the_whole_path(first, monkeypatch):
    monkeypatch.chdir(first.parent)
    stored = load("ou-2d", [start(Path(first.name))]).stored()
    assert stored["problem"]["start"] == {"kind": "run", "path": str(first), "time": 0.5}


def test_samples_alone_stay_without_density(tmp_path):
    """A start that samples tell, moved without a density, and on from there."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((500, 2)))
    flow = ["ou-2d", "--set", 'problem.energy=[{kind="quadratic"}]', "--set", "method.samples=200",
            "--set", 'map=[{kind="affine"}]', "--set", "output.particles=100",
            "--set", "method.step=0.1"]  # fmt: skip
    samples = f'problem.start={{kind="samples", path="{tmp_path / "x.npy"}"}}'
    solved("run", *flow, "--set", samples, "--set", "problem.until=0.2", "--out", tmp_path / "a")
    more = ["--set", "problem.until=0.3", "--set", start(tmp_path / "a", ", time=0.2")]
    solved("run", *flow, *more, "--out", tmp_path / "b")
    run = wgf.open_run(tmp_path / "b")
    assert not is_known(run.problem.start)
    # X' = −X in all: of every sample e^{−0.5} is left.
    ends = {tuple(np.round(row, 3)) for row in run.particles(len(run.particle_times) - 1)}
    begun = np.load(tmp_path / "x.npy") * np.exp(-0.5)
    nearest = [np.abs(begun - end).sum(1).min() for end in ends]
    assert max(nearest) < 5e-3


def test_code_that_the_other_store_names_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nPath('ran').touch()\n"
        "def V(x):\n    return (x * x).sum(1) / 2\n"
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    own = 'problem.energy=[{kind="user", function="mine:V"}, {kind="entropy"}]'
    small = ["--set=method.samples=50", "--set=problem.until=0.1", "--set=method.step=0.1"]
    assert here("run", "ou-2d", "--set", own, *small, "--out", "own").returncode == 0
    Path("ran").unlink()
    sys.modules.pop("mine")
    on = ["--set", start(Path("own"), ", time=0.1"), *small]
    for command in (["run", "ou-2d", *on, "--out", "next"], ["plan", "ou-2d", *on]):
        said = here(*command)
        assert said.returncode == 2
        assert said.stderr.count("\n") == 1
        assert "mine:V. If you know what that is, say --trust" in said.stderr
    with pytest.raises(wgf.InputError, match="trust=True"):
        wgf.load_problem("ou-2d", start(Path("own"), ", time=0.1"))
    assert not Path("ran").exists()
    assert here("run", "ou-2d", *on, "--out", "next", "--trust").returncode == 0
    said = here("resume", "next", "--until", "0.2")
    assert said.returncode == 2
    assert "--trust" in said.stderr
    assert here("resume", "next", "--until", "0.2", "--trust").returncode == 0
    assert wgf.open_run("next", trust=True).problem.start.time == 0.1
    sys.modules.pop("mine")


@pytest.mark.parametrize(
    ("more", "settings", "words"),
    [
        (", time=0.7", [], r"t = 0.7 is outside of .* from t = 0 to 0.5"),
        (", time=true", [], "problem.start.time = true: expected a number"),
        (", time=0.5, tim=0.5", [], "did you mean 'time'"),
        ("", [], "problem.start.time: missing"),
        (", time=0.5", ["problem.dimension=3"], "has dimension 2 but the problem has dimension 3"),
        (", time=0.5", ["problem.periods=[1.0, 0]"], "has not the period 1 of coordinate 0"),
    ],
)
def test_what_does_not_fit_gets_a_line(first, more, settings, words):
    with pytest.raises(wgf.InputError, match=words) as caught:
        wgf.load_problem("ou-2d", start(first, more), *settings)
    assert "\n" not in str(caught.value)


def test_what_is_no_stored_run_gets_a_line(first, tmp_path):
    with pytest.raises(wgf.InputError, match="no store at"):
        wgf.load_problem("ou-2d", start(tmp_path / "nix"))
    with pytest.raises(wgf.InputError, match="no run in"):
        wgf.load_problem("ou-2d", start(tmp_path))
    problem = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.1)
    wgf.solve(problem, wgf.Affine(2), wgf.PWGFOptions(samples=50), tmp_path / "python")
    with pytest.raises(wgf.InputError, match=r"from Python objects.*density_at"):
        wgf.load_problem("ou-2d", start(tmp_path / "python"))
    target = (
        f'problem.energy=[{{kind="samples", draw_from={{kind="run", path="{first}", time=0}}}}]'
    )
    with pytest.raises(wgf.InputError, match="is the start of a problem, and no other part"):
        wgf.load_problem("ou-2d", target)


def test_a_folded_map_and_circles_are_no_start(first, monkeypatch):
    run = wgf.open_run(first)
    column = run.column
    monkeypatch.setattr(
        type(run), "column",
        lambda self, key: column(key) * 0 + 3 if key == "folded" else column(key),
    )  # fmt: skip
    with pytest.raises(wgf.InputError, match="has folded at 3 of its samples at t = 0.5"):
        run.density_at()
    monkeypatch.undo()
    run = wgf.open_run(first)
    object.__setattr__(run.problem, "periods", object())
    with pytest.raises(wgf.InputError, match="go round circles"):
        run.density_at()


def test_a_store_that_has_changed_is_not_read_as_another_start(first, second, tmp_path):
    """The run that began from it would silently be that of another density."""
    kept = tmp_path / "kept"
    first.rename(kept)
    try:
        with pytest.raises(wgf.InputError, match="no store at"):
            wgf.open_run(second).sample(3, 1.0)
        solved("run", *OU, "--set", "problem.until=0.5", "--set", "method.seed=5", "--out", first)
        with pytest.raises(wgf.InputError, match="has changed; put that back") as caught:
            wgf.open_run(second).sample(3, 1.0)
        assert "\n" not in str(caught.value)
        shutil.rmtree(first)
        shutil.copytree(second, first)
        with pytest.raises(wgf.InputError, match="says that it began from itself"):
            wgf.load_problem("ou-2d", start(first))
    finally:
        shutil.rmtree(first, ignore_errors=True)
        kept.rename(first)
    assert len(wgf.open_run(second).sample(3, 1.0).x) == 3


def test_folds_of_other_rows_are_no_matter_at_a_stored_time(first, monkeypatch):
    run = wgf.open_run(first)
    column = run.column
    monkeypatch.setattr(
        type(run), "column",
        lambda self, key: np.array([0.0, 3.0, 0.0]) if key == "folded" else column(key),
    )  # fmt: skip
    assert run.density_at(0.5).time == 0.5
    with pytest.raises(wgf.InputError, match="has folded at 3"):
        run.density_at(0.4)
