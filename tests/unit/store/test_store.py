"""The store: labelled, committed as a whole, refused when taken, cut back when torn."""

from __future__ import annotations

import errno
import threading

import numpy as np
import pytest
import torch
import xarray
import zarr
from stores import COLUMNS, SHAPE, SPAN, assert_same, commit, small_store

import hpc_wgf as wgf
from hpc_wgf.errors import StepFailed
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.store import RunWriter, Stage, StoredStage, check, refuse_existing
from hpc_wgf.store.metadata import StoreMetadata


def test_rows_and_steps_are_labelled_for_xarray(tmp_path):
    store = small_store(tmp_path / "run")
    for k in range(3):
        commit(store, float(k), 2 * k)
    store.close()
    with xarray.open_zarr(tmp_path / "run") as data:
        assert dict(data.sizes) == {
            "time": 3, "parameter": 5, "sample": 100, "axis": 2, "step": 6, "stage": 1,
            "figure": 5, "step_figure": 2,
        }  # fmt: skip
        assert set(data.coords) == {"time", "sample", "axis"}
        assert data.particles.dims == ("time", "sample", "axis")
        assert data.theta.dims == data.velocity.dims == ("time", "parameter")
        assert data.log_density.dims == ("time", "sample")
        assert data.figures.dims == ("time", "figure")
        assert data.step_figures.dims == ("step", "step_figure")
        assert data.stage_theta.values.tolist() == [[0, 1, 2, 3, 4]]
        assert data.particles.isel(time=2).values.tolist() == [[2.0, 2.0]] * 100
        assert data.time.values.tolist() == [0.0, 1.0, 2.0]
        for array in data.variables.values():
            assert array.attrs["long_name"]
            assert array.attrs["units"]
    group = zarr.open_group(tmp_path / "run", mode="r")
    assert group["particles"].shards == (1, 30, 2)
    assert group["log_density"].shards == (1, 30)
    assert group.metadata.zarr_format == 3
    plain = zarr.open_group(tmp_path / "run", mode="r", use_consolidated=False)
    assert {name: a.shape for name, a in plain.arrays()} == {
        name: a.shape for name, a in group.arrays()
    }


def test_figures_are_read_by_their_keys(tmp_path):
    store = small_store(tmp_path / "run")
    commit(store, 0.5, 0)
    commit(store, 1.5, 2)
    run = wgf.open_run(tmp_path / "run")
    assert [column.key for column in run.columns] == [column.key for column in COLUMNS]
    assert run.columns == COLUMNS
    assert run.column("energy").tolist() == [0.5, 1.5]
    assert run.column("step_energy").tolist() == [1.5, 1.5]
    assert run.column("steps_taken").dtype == np.int64
    assert run.last("energy") == 1.5
    assert run.last("log_density").tolist() == [1.5] * 100
    for key, length in (("map_error", 2), ("products", 2), ("step_products", 2)):
        assert np.isnan(run.column(key)).all()  # not given; of another method
        assert len(run.column(key)) == length
    store.close()


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"energy": 0.0, "stage": 0, "folded": 0}, r"not given: \['steps_taken'\]"),
        (
            {"energy": 0.0, "stage": 0, "folded": 0, "steps_taken": 0, "warmth": 1.0},
            r"not declared: \['warmth'\]",
        ),
    ],
)
def test_figures_are_those_that_are_declared(tmp_path, figures, said):
    store = small_store(tmp_path / "run")
    arrays = {"theta": np.zeros(5), "velocity": None, "log_density": torch.zeros(100)}
    with pytest.raises(wgf.RunError, match=said):
        store.commit(0.0, figures, {}, particles=torch.zeros(100, 2), **arrays)
    store.close()


def test_a_longer_stage_pads_what_was_before_it(tmp_path):
    """Its description and its parameters come with the row at which it begins."""
    path = tmp_path / "run"
    store = small_store(path)
    commit(store, 0.0, 0)
    commit(store, 1.0, 0, stage=Stage("the second map", 1.0, np.full(8, 7.0)))
    commit(store, 2.0, 0, parameters=8, number=1)
    store.close()
    run = wgf.open_run(path)
    assert [run.theta(row).shape for row in range(3)] == [(5,), (5,), (8,)]
    assert np.isnan(run.column("theta")[:2, 5:]).all()
    assert run.column("velocity")[2].tolist() == [-2.0] * 8
    assert run.column("stage_theta")[1].tolist() == [7.0] * 8
    assert run.stages[1] == StoredStage("the second map", 1.0, 1, 8)
    assert run.stages[0].parameters == 5
    assert check(run) == []
    arguments = (path, LocalCommunicator(), SPAN)
    again = RunWriter.reopen(*arguments, rows=3, steps=0, attributes={"problem": "again"})
    commit(again, 3.0, 0, parameters=8, number=1)
    again.close()
    run = wgf.open_run(path)
    assert run.attributes["problem"] == "again"
    assert run.theta(-1).tolist() == [3.0] * 8
    assert len(run.stages) == 2
    assert check(run) == []


def test_a_stage_that_is_not_committed_is_not_seen(tmp_path, monkeypatch):
    path = tmp_path / "run"
    store = small_store(path)
    commit(store, 0.0, 0)
    second = Stage("the second map", 0.0, np.full(8, 7.0))
    monkeypatch.setattr(StoreMetadata, "publish", lambda self, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        commit(store, 1.0, 0, parameters=8, number=1, stage=second)
    monkeypatch.undo()
    store.close()
    assert check(wgf.open_run(path)) == []
    assert len(wgf.open_run(path).stages) == 1
    again = RunWriter.reopen(path, LocalCommunicator(), SPAN, rows=1, steps=0, attributes={})
    commit(again, 1.0, 0)
    again.close()
    assert wgf.open_run(path).column("theta").shape == (2, 5)
    assert check(wgf.open_run(path)) == []


def test_attributes_are_what_netcdf_can_hold(tmp_path):
    nested = {"a": {"b": [1, None]}, "none": None, "names": ["x"], "flag": True, "number": 0.5}
    stage = Stage("map", 0.0, np.zeros(5))
    RunWriter.create(
        tmp_path / "run", LocalCommunicator(), SPAN, shape=SHAPE, attributes=nested, stage=stage
    )  # left open: a store without a row is taken away
    run = wgf.open_run(tmp_path / "run")
    assert {name: run.attributes[name] for name in nested} == nested
    assert all(type(value) in (str, int, float) for value in run.group.attrs.values())
    assert run.group.attrs["number"] == 0.5


def test_a_reader_never_sees_a_torn_row(tmp_path):
    """300 times a store is opened and read while rows are added to it."""
    path = tmp_path / "run"
    store = small_store(path)
    commit(store, 0.0, 1)
    done = threading.Event()

    def write() -> None:
        row = 1
        while not done.is_set():
            commit(store, float(row), 1, taken=row)
            row += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(300):
            run = wgf.open_run(path)
            rows = np.arange(run.rows)
            assert np.array_equal(run.column("time"), rows)
            assert np.array_equal(run.column("energy"), rows)
            assert np.array_equal(run.column("step_energy"), rows)
            for name in ("theta", "particles", "log_density"):
                assert (run.last(name) == rows[-1]).all()
    finally:
        done.set()
        writing.join()
    assert store.path.exists()
    assert run.rows > 10
    store.close()


def test_a_row_that_is_not_committed_is_not_seen(tmp_path, monkeypatch):
    """Killed between writing the shards and the commit: readers see the rows before it."""
    path = tmp_path / "run"
    store = small_store(path)
    commit(store, 0.0, 0)
    monkeypatch.setattr(StoreMetadata, "publish", lambda self, path: 1 / 0)
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
    assert wgf.open_run(path).column("step_energy").tolist() == [5.0]


def test_a_failed_write_says_what_stays(tmp_path, monkeypatch):
    store = small_store(tmp_path / "run")
    commit(store, 0.0, 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoreMetadata, "publish", full)
    with pytest.raises(wgf.RunError, match="No space left.*committed rows are intact"):
        commit(store, 1.0, 0)
    assert wgf.open_run(tmp_path / "run").rows == 1


def test_existing_paths_are_refused(tmp_path):
    store = small_store(tmp_path / "run")
    commit(store, 0.0, 0)
    store.close()
    with pytest.raises(wgf.InputError, match="a run is stored there"):
        small_store(tmp_path / "run")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(wgf.InputError, match="it exists"):
        refuse_existing(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_path_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(wgf.InputError, match="cannot create the store"):
        small_store(tmp_path / "file" / "run")


def test_two_writers_are_refused(tmp_path):
    store = small_store(tmp_path / "run")
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
    store = small_store(tmp_path / "run")
    commit(store, 0.0, 0)
    store.close()
    arguments = (tmp_path / "run", LocalCommunicator(), SPAN)
    with pytest.raises(wgf.InputError, match="grew while"):
        RunWriter.reopen(*arguments, rows=0, steps=0, attributes={})
    RunWriter.reopen(*arguments, rows=1, steps=0, attributes={}).close()


def test_a_run_that_fails_before_its_first_row_leaves_no_store(tmp_path, monkeypatch):
    """An empty one was in the way of the next run."""

    def failing(self, state):
        raise StepFailed("values are not finite")

    monkeypatch.setattr(PWGF, "enter", failing)
    problem = wgf.Problem([wgf.Entropy()], wgf.Gaussian(2), until=0.1)
    with pytest.raises(wgf.RunError, match="before the first step"):
        wgf.solve(problem, wgf.Affine(2), None, wgf.Output(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_first_row_that_is_committed_stays_though_a_rank_is_lost(tmp_path, monkeypatch):
    """The writer did not know of it yet, and took the store away for an empty one."""
    store = small_store(tmp_path / "run")
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
        small_store(tmp_path / "run").close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no store at"),
        (lambda path: path.mkdir(), "no run in .*: it has no zarr.json"),
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
    assert_same(a, b)
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
