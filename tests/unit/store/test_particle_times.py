"""Particles at fewer rows, in fewer bits: what is written, read, checked and resumed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from stores import SHAPE, assert_same, commit, small_store
from typer.testing import CliRunner

import hpc_wgf as wgf
from hpc_wgf.cli import app
from hpc_wgf.config import build, load
from hpc_wgf.output import Output
from hpc_wgf.run.layout import Layout
from hpc_wgf.store import RunWriter, check

SETTINGS = [
    "problem.until=0.25", "method.samples=300", "method.step=0.05", 'map=[{kind="affine"}]',
    "output.every=0.05", "output.shards=2",
]  # fmt: skip
SPARSE = ["output.particles_every=2"]
COARSE = ["output.particles_dtype=float32", "output.round_bits=9", "output.codec=lz4"]


class Interrupt(Exception):
    """In place of a kill."""


def solved(path, *settings, until=None, **given):
    run_file = load("ou-2d", [*SETTINGS, *settings, *([f"problem.until={until}"] if until else [])])
    output = replace(run_file.output, path=path)
    wgf.solve(*build(run_file), output, configuration=run_file.model_dump(mode="json"), **given)
    return wgf.open_run(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All particles in double precision; at fewer rows; at all rows in fewer bits."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: solved(folder / name, *settings)
        for name, settings in {"whole": [], "sparse": SPARSE, "coarse": COARSE}.items()
    }


def test_particles_lie_at_every_second_row_and_at_the_last(runs):
    whole, sparse = runs["whole"], runs["sparse"]
    assert sparse.rows == whole.rows == 6
    assert sparse.particle_times.tolist() == whole.column("time")[[0, 2, 4, 5]].tolist()
    assert sparse.particle_rows.tolist() == [0, 2, 4, 5]
    for name in ("particles", "log_density"):
        assert np.array_equal(sparse.column(name), whole.column(name)[[0, 2, 4, 5]])
    for name in ("theta", "velocity", "energy", "step_energy"):
        assert np.array_equal(sparse.column(name), whole.column(name))
    assert check(sparse) == []
    assert "particle_time" not in whole.group


def test_the_runs_are_read_and_shown(runs, tmp_path):
    sparse = runs["sparse"]
    data = sparse.to_xarray()
    assert data.particles.dims == ("particle_time", "sample", "axis")
    assert data.log_density.dims == ("particle_time", "sample")
    assert data.particle_time.values.tolist() == sparse.particle_times.tolist()
    at = float(sparse.column("time")[3])  # no particles are stored there
    assert sparse.sample(10, at).x.shape == (10, 2)
    moved = sparse.subject.points(at)
    z = torch.from_numpy(sparse.particles(0))
    assert np.array_equal(moved, sparse.map_at(at).push(z).numpy()[: len(moved)])
    picture = ["report", sparse.path, "--picture", tmp_path / "run.png"]
    for command in (picture, ["check", sparse.path], ["check", runs["coarse"].path]):
        done = CliRunner().invoke(app, list(map(str, command)))
        assert done.exit_code == 0, done.output
    with pytest.raises(wgf.InputError, match="no particles at t = 0.15: the nearest"):
        sparse.to_arviz(at)


def test_a_lost_time_of_particles_is_found(runs, tmp_path):
    run = solved(tmp_path / "run", *SPARSE, until=0.1)
    (run.path / "particle_time/c/0").unlink()
    assert {flaw.array for flaw in check(wgf.open_run(run.path))} == {"particle_time"}


# Rows, of which the last has particles or has none.
@pytest.mark.parametrize(("kind", "after"), [("sparse", 3), ("sparse", 4), ("coarse", 4)])
def test_an_interrupted_run_is_the_same_run(runs, tmp_path, monkeypatch, kind, after):
    settings = {"sparse": SPARSE, "coarse": COARSE}[kind]
    written = RunWriter.commit

    def interrupted(self, *args, **kwargs):
        if self.rows == after:
            raise Interrupt
        written(self, *args, **kwargs)

    monkeypatch.setattr(RunWriter, "commit", interrupted)
    with pytest.raises(Interrupt):
        solved(tmp_path / "run", *settings)
    monkeypatch.undo()
    assert wgf.open_run(tmp_path / "run").rows == after
    assert_same(solved(tmp_path / "run", *settings, resume=True), runs[kind])


def test_a_run_without_particles_at_its_last_row_resumes_only_with_its_map(tmp_path, monkeypatch):
    """The particles of the row before tell whether the map is still the same."""
    stopped = iter([False] * 2 + [True])
    solved(tmp_path / "run", *SPARSE, stop=lambda: next(stopped))
    assert wgf.open_run(tmp_path / "run").particle_rows[-1] == 2
    whole = wgf.StoredRun.particles
    monkeypatch.setattr(wgf.StoredRun, "particles", lambda *a: whole(*a) + 0.01)
    with pytest.raises(wgf.InputError, match="the map now puts its samples up to 0.01 elsewhere"):
        solved(tmp_path / "run", *SPARSE, resume=True)


def test_coarse_particles_are_as_near_as_their_bits_say(runs):
    whole, coarse = runs["whole"].column("particles"), runs["coarse"].column("particles")
    assert coarse.dtype == np.float32
    error = np.abs(coarse - whole) / np.abs(whole)
    assert 2.0**-11 < error.max() <= 2.0**-10 * (1 + 1e-6)  # half of the last of nine bits
    assert (coarse.view(np.int32) & (2**14 - 1) == 0).all()
    log_density = runs["coarse"].column("log_density")
    assert np.array_equal(log_density, runs["whole"].column("log_density"))
    codecs = runs["coarse"].documents["particles"]["codecs"][0]["configuration"]["codecs"]
    assert codecs[1]["configuration"]["cname"] == "lz4"
    plain = zarr.open_group(runs["coarse"].path, mode="r")  # no codec of our own is needed
    assert np.array_equal(plain["particles"][:], coarse)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"round_bits": 52}, "round_bits = 52: float64 has 52 bits of mantissa, give fewer"),
        ({"round_bits": 23, "particles_dtype": "float32"}, "float32 has 23 bits"),
        ({"particles_every": 0}, "particles_every"),
        ({"round_bits": 0}, "round_bits"),
        ({"codec": "zip"}, "codec"),
        ({"particles_dtype": "float16"}, "particles_dtype"),
    ],
)
def test_what_cannot_be_kept_is_refused(given, said):
    problem, _, method = wgf.load_problem("ou-2d")
    with pytest.raises(wgf.InputError, match=said):
        Layout.of(problem, method, Output(None, **given), 1)


def test_particles_that_do_not_fit_end_the_run_in_one_line(tmp_path):
    store = small_store(tmp_path / "run", replace(SHAPE, particles_dtype="float32"))
    commit(store, 0.0, 0)
    with pytest.raises(wgf.RunError, match=r"up to 1e\+39 do not fit into float32"):
        commit(store, 1e39, 0)
    store.close()
    assert wgf.open_run(tmp_path / "run").rows == 1
