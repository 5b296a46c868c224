"""The store: labelled, committed as a whole, refused when taken, cut back when torn."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
import xarray
import zarr

import hpc_wgf as wgf
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.store import SCHEMA, RunWriter, StoreShape, refuse_existing

SPAN = slice(0, 100)
SHAPE = StoreShape(
    parameters=5, dimension=2, samples=100, block=10, blocks_per_shard=3, dtype="float64"
)  # shards of 30 samples, the last one shorter


def writer(path) -> RunWriter:
    return RunWriter.create(
        path, LocalCommunicator(), SPAN, shape=SHAPE, attributes={"problem": "test"}
    )


def commit(store: RunWriter, value: float, steps: int) -> None:
    store.commit(
        dict.fromkeys(SCHEMA.row_scalars, value),
        {name: [value] * steps for name in SCHEMA.step_fields},
        theta=np.full(5, value),
        particles=np.full((100, 2), value),
        log_density=np.full(100, value),
    )


def test_rows_and_steps_are_labelled_for_xarray(tmp_path):
    store = writer(tmp_path / "run")
    for k in range(3):
        commit(store, float(k), 2 * k)
    store.close()
    with xarray.open_zarr(tmp_path / "run") as data:
        assert dict(data.sizes) == {
            "time": 3, "parameter": 5, "sample": 100, "space": 2, "step": 6,
        }  # fmt: skip
        assert data.particles.dims == ("time", "sample", "space")
        assert data.theta.dims == ("time", "parameter")
        assert data.log_density.dims == ("time", "sample")
        assert data.particles.isel(time=2).values.tolist() == [[2.0, 2.0]] * 100
        assert data.step_energy.values.tolist() == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
        assert data.time.values.tolist() == [0.0, 1.0, 2.0]
        assert all(array.attrs["long_name"] for array in data.variables.values())
    group = zarr.open_group(tmp_path / "run", mode="r")
    assert group["particles"].shards == (1, 30, 2)
    assert group.metadata.zarr_format == 3


def test_a_row_that_is_not_committed_is_not_seen(tmp_path, monkeypatch):
    """Killed between writing the shards and the commit: readers see the rows before it."""
    path = tmp_path / "run"
    store = writer(path)
    commit(store, 0.0, 0)
    monkeypatch.setattr("hpc_wgf.store.writer.consolidate", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        commit(store, 1.0, 3)
    monkeypatch.undo()
    store.close()
    assert wgf.open_run(path).rows == 1
    with xarray.open_zarr(path) as data:
        assert dict(data.sizes)["time"] == 1
    again = RunWriter.reopen(path, LocalCommunicator(), SPAN, rows=1, steps=0, attributes={})
    assert zarr.open_group(path, mode="r", use_consolidated=False)["theta"].shape == (1, 5)
    commit(again, 5.0, 1)
    assert wgf.open_run(path).column("energy").tolist() == [0.0, 5.0]
    assert wgf.open_run(path).column("step_size").tolist() == [5.0]


def test_a_failed_write_says_what_stays(tmp_path, monkeypatch):
    store = writer(tmp_path / "run")
    commit(store, 0.0, 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpc_wgf.store.writer.consolidate", full)
    with pytest.raises(wgf.RunError, match="No space left.*committed rows are intact"):
        commit(store, 1.0, 0)
    assert wgf.open_run(tmp_path / "run").rows == 1


def test_existing_paths_are_refused(tmp_path):
    store = writer(tmp_path / "run")
    commit(store, 0.0, 0)
    store.close()
    with pytest.raises(wgf.InputError, match="a run is stored there"):
        writer(tmp_path / "run")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(wgf.InputError, match="it exists"):
        refuse_existing(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_path_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(wgf.InputError, match="cannot create the store"):
        writer(tmp_path / "file" / "run")


def test_two_writers_are_refused(tmp_path):
    store = writer(tmp_path / "run")
    commit(store, 0.0, 0)
    arguments = (tmp_path / "run", LocalCommunicator(), SPAN)
    with pytest.raises(wgf.InputError, match="being written by another process"):
        RunWriter.reopen(*arguments, rows=1, steps=0, attributes={})
    commit(store, 0.1, 0)  # the refused one has not taken the lock away
    with pytest.raises(wgf.InputError, match="being written by another process"):
        RunWriter.reopen(*arguments, rows=2, steps=0, attributes={})
    store.close()
    assert not list((tmp_path / "run").glob(".*"))
    RunWriter.reopen(*arguments, rows=2, steps=0, attributes={}).close()


def test_a_store_that_could_not_be_opened_can_be_tried_again(tmp_path, monkeypatch):
    """The lock of the first attempt was kept: the process was "another" to itself."""
    store = writer(tmp_path / "run")
    commit(store, 0.0, 0)
    store.close()
    arguments = (tmp_path / "run", LocalCommunicator(), SPAN)
    with pytest.raises(wgf.InputError, match="grew while"):
        RunWriter.reopen(*arguments, rows=0, steps=0, attributes={})
    RunWriter.reopen(*arguments, rows=1, steps=0, attributes={}).close()


def test_a_run_that_fails_before_its_first_row_leaves_no_store(tmp_path):
    """An empty one was in the way of the next run."""
    late = wgf.UserPotential(lambda x: (x * x).sum(1) * 1e300, "huge")
    problem = wgf.Problem([wgf.PotentialEnergy(late)], wgf.Gaussian(2), until=0.1)
    with pytest.raises(wgf.RunError, match="before the first step"):
        wgf.solve(problem, wgf.Affine(2), None, wgf.Output(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_first_row_that_is_committed_stays_though_a_rank_is_lost(tmp_path, monkeypatch):
    """The writer did not know of it yet, and took the store away for an empty one."""
    store = writer(tmp_path / "run")
    monkeypatch.setattr("hpc_wgf.store.writer.Checkpoint.remove", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        commit(store, 0.0, 0)
    store.close()
    assert wgf.open_run(tmp_path / "run").rows == 1


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refused(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.warns(UserWarning, match="has no locks: let nobody else write it"):
        writer(tmp_path / "run").close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no store at"),
        (lambda path: path.mkdir(), "not a readable Zarr group"),
        (lambda path: zarr.open_group(path, mode="w"), "not one written by hpc-wgf"),
        (
            lambda path: zarr.open_group(path, mode="w", attributes={"schema_version": 99}),
            "has store schema 99",
        ),
    ],
)
def test_what_is_no_store_is_refused(tmp_path, make, message):
    make(tmp_path / "run")
    with pytest.raises(wgf.InputError, match=message):
        wgf.open_run(tmp_path / "run")


PAIRS = wgf.InteractionEnergy(wgf.GaussianKernel(), route=wgf.Route.PAIRS)
BATCHES = wgf.InteractionEnergy(wgf.PowerLaw(2, 0), route=wgf.Route.BATCHES, batch=8)


def small(*more, **options):
    parts = [wgf.PotentialEnergy(wgf.StyblinskiTang()), wgf.Entropy(1.0), *more]
    problem = wgf.Problem(parts, wgf.Gaussian(2), until=0.4)
    map = wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 8))
    return problem, map, wgf.PWGFOptions(samples=200, step_size=0.04, rtol=1e-4, **options)


class Interrupt(Exception):
    pass


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ([], {}),
        ([], {"scheme": "kutta32", "tolerance": 5e-3}),
        ([], {"dtype": torch.float32}),
        ([PAIRS, BATCHES, wgf.InternalEnergy(2.0, 0.1)], {}),
    ],
    ids=["fixed", "adaptive", "float32", "interactions"],
)
def test_ten_steps_are_five_then_resume_bitwise(tmp_path, more, options, monkeypatch):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    wgf.solve(*small(*more, **options), wgf.Output(whole, every=0.08))

    commit, rows = RunWriter.commit, []

    def interrupted(self, *args, **kwargs):
        if len(rows) == 3:
            raise Interrupt
        rows.append(commit(self, *args, **kwargs))

    monkeypatch.setattr(RunWriter, "commit", interrupted)
    with pytest.raises(Interrupt):
        wgf.solve(*small(*more, **options), wgf.Output(torn, every=0.08))
    monkeypatch.undo()
    assert wgf.open_run(torn).rows == 3
    wgf.solve(*small(*more, **options), wgf.Output(torn), resume=True)

    a, b = wgf.open_run(whole), wgf.open_run(torn)
    seconds = {"wall_seconds", "step_seconds"}
    for name in sorted(set(a.group) - seconds):
        assert np.array_equal(a.column(name), b.column(name), equal_nan=True), name
    assert a.rows == 6
    assert (np.diff(b.column("wall_seconds")) > 0).all()


def test_a_longer_run_is_the_same_run(tmp_path):
    """until = 0.2, then resumed to 0.4, is until = 0.4."""
    problem, map, options = small()
    half = wgf.Problem(problem.energy.parts, problem.start, until=0.2)
    wgf.solve(half, map, options, wgf.Output(tmp_path / "two", every=0.1))
    again = wgf.solve(*small(), wgf.Output(tmp_path / "two"), resume=True)
    wgf.solve(*small(), wgf.Output(tmp_path / "one", every=0.1))
    theta = [wgf.open_run(tmp_path / name).column("theta") for name in ("one", "two")]
    assert np.array_equal(*theta)
    assert again.summary.finished
    assert again.summary.until == 0.4


def test_resume_refuses_another_run(tmp_path):
    problem, map, options = small()
    wgf.solve(problem, map, options, wgf.Output(tmp_path / "run", every=0.4))
    other = wgf.PWGFOptions(samples=100, step_size=0.04, rtol=1e-4)
    harder = wgf.Problem(wgf.PotentialEnergy(wgf.Rosenbrock()), wgf.Gaussian(2), until=0.5)
    for changed, message in [
        ((problem, wgf.Affine(2), options), "initial parameters: stored"),
        (
            (problem, wgf.Composition(wgf.Affine(2), wgf.BlockFlow(2, 8, seed=1)), options),
            "initial",
        ),
        ((problem, map, other), "method: stored"),
        ((harder, map, options), "energy: stored"),
    ]:
        with pytest.raises(wgf.InputError, match=message):
            wgf.solve(*changed, wgf.Output(tmp_path / "run"), resume=True)


class Frozen(torch.nn.Module):
    """A last layer of zeros on random features, which are no parameters."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        features = torch.randn(4, 2, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("features", features.double())
        self.register_buffer("scale", torch.tensor(1.0))  # a number has no bytes to view
        self.last = torch.nn.Linear(4, 2, bias=False).double()
        torch.nn.init.zeros_(self.last.weight)

    def forward(self, z):
        return z + self.last(torch.tanh(z @ self.features.T))


def test_resume_refuses_a_map_of_other_buffers(tmp_path):
    """Parameters and names are the same; the run went on with other features, "all whole"."""
    problem, _, options = small()
    half = wgf.Problem(problem.energy.parts, problem.start, until=0.2)
    maps = [wgf.ModuleMap(2, Frozen(seed)) for seed in (1, 1, 2)]
    wgf.solve(half, maps[0], options, wgf.Output(tmp_path / "run", every=0.2))
    with pytest.raises(wgf.InputError, match="map's buffers: stored"):
        wgf.solve(problem, maps[2], options, wgf.Output(tmp_path / "run"), resume=True)
    wgf.solve(problem, maps[1], options, wgf.Output(tmp_path / "run"), resume=True)


def test_resume_refuses_a_function_that_has_changed_under_its_name(tmp_path):
    def flow(factor: float, until: float) -> wgf.Problem:
        potential = wgf.UserPotential(lambda x: factor * (x * x).sum(1), "mine")
        return wgf.Problem([wgf.PotentialEnergy(potential)], wgf.Gaussian(2), until=until)

    _, map, options = small()
    wgf.solve(flow(0.5, 0.1), map, options, wgf.Output(tmp_path / "run", every=0.1))
    with pytest.raises(
        wgf.InputError, match=r"at its last row, t = 0.1, its energy was .* and now"
    ):
        wgf.solve(flow(1.0, 0.2), map, options, wgf.Output(tmp_path / "run"), resume=True)
    wgf.solve(flow(0.5, 0.2), map, options, wgf.Output(tmp_path / "run"), resume=True)


def test_resume_refuses_a_module_whose_code_has_changed(tmp_path, monkeypatch):
    problem, _, options = small()
    half = wgf.Problem(problem.energy.parts, problem.start, until=0.2)
    map = wgf.ModuleMap(2, Frozen(1))
    wgf.solve(half, map, options, wgf.Output(tmp_path / "run", every=0.2))
    monkeypatch.setattr(
        Frozen, "forward", lambda self, z: z + self.last(torch.sin(z @ self.features.T))
    )
    with pytest.raises(wgf.InputError, match="the map now puts its samples up to .* elsewhere"):
        wgf.solve(problem, map, options, wgf.Output(tmp_path / "run"), resume=True)


def test_resume_refuses_to_go_back_in_time(tmp_path):
    problem, map, options = small()
    wgf.solve(problem, map, options, wgf.Output(tmp_path / "run", every=0.4))
    earlier = wgf.Problem(problem.energy.parts, problem.start, until=0.1)
    with pytest.raises(wgf.InputError, match="already reached t = 0.4"):
        wgf.solve(earlier, map, options, wgf.Output(tmp_path / "run"), resume=True)
    assert wgf.open_run(tmp_path / "run").attributes["until"] == 0.4


def test_a_map_may_be_used_again(tmp_path):
    """`solve` works on a copy: the caller's map stays the identity, in its own precision."""
    problem, map, options = small(dtype=torch.float32)
    before = map.get_theta()
    first = wgf.solve(problem, map, options, wgf.Output(every=0.4))
    assert torch.equal(map.get_theta(), before)
    second = wgf.solve(problem, map, options, wgf.Output(every=0.4))
    assert torch.equal(first.map.get_theta(), second.map.get_theta())
    assert not torch.equal(first.map.get_theta(), before.float())


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_an_older_schema_is_read_and_not_resumed(tmp_path, version):
    """Version 1 had neither the measured rate nor the folds, 1 and 2 nothing of η and the shift."""
    wgf.solve(*small(), wgf.Output(tmp_path / "run", every=0.4))
    group = zarr.open_group(tmp_path / "run", mode="a", use_consolidated=False)
    missing = ["step_eta_norm", "step_nonlinearity", "step_shift"]
    if version == 1:
        missing += ["energy_rate_measured", "folded"]
    for name in missing:
        del group[name]
    group.attrs["schema_version"] = version
    zarr.consolidate_metadata(group.store)
    summary = wgf.Summary.of_store(wgf.open_run(tmp_path / "run"))
    assert (summary.energy_rate_measured is None) == (version == 1)
    assert summary.largest_shift is None
    assert summary.folded == [0, 0]
    assert len(summary.energy) == 2
    with pytest.raises(wgf.InputError, match="older version.*read, not resumed"):
        wgf.solve(*small(), wgf.Output(tmp_path / "run"), resume=True)
