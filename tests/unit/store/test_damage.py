"""Damaged stores, one in a number of all that `support/damage.py` makes, under every command. For
all of them: PYTHONPATH=tests:tests/support python tests/support/damage_study.py --out FILE."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from damage import damages, rewrite
from damage_study import REFUSED, Study, stopped_run
from processes import here

import hpc_wgf as wgf
from hpc_wgf.store import Checkpoint, check, refuse_existing
from hpc_wgf.store.files import PlainFiles, new_file, read_file
from hpc_wgf.store.lock import StoreLock

RECORD = Path(__file__).parents[3] / "data" / "damage.json"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    for folder in (base := tmp_path_factory.mktemp("study"), base.parent, base.parent.parent):
        folder.chmod(0o755)  # as another user reads there
    return Study(base)


@pytest.fixture
def store(study, tmp_path) -> Path:
    return Path(shutil.copytree(study.whole, tmp_path / "run"))


def test_one_damaged_store_in_many_is_refused_by_every_command(study):
    outcomes = list(study.outcomes(every=37))
    assert len(outcomes) >= 4 * 8
    assert [outcome for outcome in outcomes if outcome.found != REFUSED] == []


def test_many_damages_have_been_tried_and_none_was_called_whole(study):
    record = json.loads(RECORD.read_text())
    assert record["of"] == len(list(damages(study.whole)))
    assert record["damages"] >= 150
    for found in record["by command"].values():
        assert found == {REFUSED: record["damages"]}


def test_a_lost_checkpoint_is_missed_until_it_is_forgotten(store):
    (store / "checkpoint.npz").unlink()
    for command in ("check", "resume"):
        done = here(command, store)
        assert done.returncode != 0
        assert "is missing, and the run was stopped there" in done.stdout + done.stderr
    assert "--forget-checkpoint" in done.stderr
    done = here("check", store, "--forget-checkpoint")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 rows and 4 steps, all whole" in done.stdout
    assert here("resume", store).returncode == 0
    assert wgf.open_run(store).column("time")[-1] == pytest.approx(0.3)


def test_a_checkpoint_between_its_announcement_and_its_rename_is_found(store):
    """As where the process is killed just there."""
    (store / "checkpoint.npz").rename(store / "checkpoint.npz.part")
    assert check(wgf.open_run(store)) == []
    kept = wgf.open_run(store).checkpoint()
    assert kept is not None
    assert kept.step == 5


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self):
        return os.mkdir, (str(self.fuse),)


@pytest.mark.parametrize("known", [True, False], ids=["sealed", "of an earlier version"])
def test_nothing_is_unpickled(store, tmp_path, known):
    fuse = tmp_path / "exploded"
    bomb = np.empty(1, dtype=object)
    bomb[0] = Bomb(fuse)
    file = io.BytesIO()
    np.savez(file, theta=bomb, rows=np.asarray(3), time=bomb, allow_pickle=True)
    (store / "checkpoint.npz").write_bytes(file.getvalue())
    pickle.dump(bomb, (store / "time" / "c" / "0").open("wb"))
    if not known:
        rewrite(store, lambda attributes, _: attributes.pop("checkpoint"))
    for command in ("check", "resume", "report"):
        assert here(command, store).returncode != 0
    with pytest.raises(wgf.InputError, match=r"damaged: .*checkpoint.npz"):
        wgf.open_run(store).checkpoint()
    assert not fuse.exists()


def test_zarr_of_format_2_whose_objects_are_pickled_is_not_read(tmp_path):
    zarr.open_group(tmp_path / "old", mode="w", zarr_format=2, attributes={"schema_version": 4})
    with pytest.raises(wgf.InputError, match="it has no zarr.json"):
        wgf.open_run(tmp_path / "old")


@pytest.fixture
def outside(tmp_path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    return folder


def untouched(outside: Path) -> bool:
    return [(f.name, f.read_text()) for f in outside.iterdir()] == [("mine", "mine")]


@pytest.mark.parametrize("name", ["checkpoint.npz.part", "zarr.json.part", "theta/zarr.json.part"])
def test_a_part_does_not_follow_a_link(store, outside, name):
    (store / name).symlink_to(outside / "mine")
    assert here("resume", store).returncode == 0
    assert untouched(outside)


def test_a_checkpoint_replaces_a_link_and_what_it_leads_to_stays(store, outside):
    kept = wgf.open_run(store).checkpoint()
    assert kept is not None
    for name in ("checkpoint.npz", "checkpoint.npz.part"):
        (store / name).unlink(missing_ok=True)
        (store / name).symlink_to(outside / "mine")
    kept.write(store, 3)
    assert untouched(outside)
    assert Checkpoint.read(store, 3) is not None


@pytest.mark.parametrize("make", [lambda lock, to: lock.symlink_to(to / "lock"),
                                  lambda lock, to: lock.symlink_to(to / "mine"),
                                  lambda lock, to: os.mkfifo(lock)])  # fmt: skip
def test_a_lock_that_is_no_file_is_refused(store, outside, make):
    make(store / ".lock", outside)
    with pytest.raises(wgf.InputError, match="not the lock of a run: take it away"):
        StoreLock(store)
    assert untouched(outside)


@pytest.mark.parametrize("name", ["particles", "particles/c", "particles/c/3", "figures/c/0"])
def test_nothing_is_written_through_a_link_in_a_store(store, outside, name):
    """A resumed run adds row 3."""
    if (store / name).is_dir():
        shutil.copytree(store / name, store.parent / "moved")
        shutil.rmtree(store / name)
        (store / name).symlink_to(store.parent / "moved")
    else:
        (store / name).unlink(missing_ok=True)
        (store / name).symlink_to(outside)
    before = sorted(store.parent.glob("moved/**/*"))
    done = here("resume", store)
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert untouched(outside)
    assert sorted(store.parent.glob("moved/**/*")) == before


def test_a_store_that_is_a_link_itself_is_one(store, tmp_path):
    (tmp_path / "link").symlink_to(store)
    assert here("resume", tmp_path / "link").returncode == 0
    assert here("check", tmp_path / "link").returncode == 0


def test_a_new_file_is_new(tmp_path, outside):
    (tmp_path / "part").symlink_to(outside / "mine")
    with new_file(tmp_path / "part") as file:
        file.write(b"other")
    assert untouched(outside)
    assert read_file(tmp_path / "part") == b"other"
    (tmp_path / "to").symlink_to(outside)
    with pytest.raises(OSError, match="a symbolic link, through which nothing"):
        zarr.create_array(PlainFiles(tmp_path), name="to/array", data=np.ones(3))
    assert untouched(outside)


@pytest.mark.parametrize("when", ["a row", "a checkpoint"])
def test_a_store_that_is_moved_away_under_a_run_ends_it_in_one_line(tmp_path, when):
    """Its folders were made anew, and the run ended as if nothing had been."""
    spec = wgf.load_problem("ou-2d", "problem.until=0.2", "method.samples=60", "method.step=0.05")
    steps = iter(range(99))

    def stop() -> bool:
        step = next(steps)
        if step == 0:
            (tmp_path / "run").rename(tmp_path / "elsewhere")
        return step == 0 and when == "a checkpoint"

    with pytest.raises(wgf.RunError, match="is gone: it was moved or deleted") as caught:
        wgf.solve(*spec, wgf.Output(tmp_path / "run", every=0.1), stop=stop)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert check(wgf.open_run(tmp_path / "elsewhere")) == []


class Full:
    """Once the loop has handed over its second row no file may be longer than so many bytes, as on
    a full disk: the thread that writes may be at that row still."""

    def __init__(self, longest: int) -> None:
        self.longest, self.rows = longest, 0

    def on_row(self, row):
        self.rows += 1
        if self.rows == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.longest, resource.RLIM_INFINITY))

    def on_step(self, step): ...

    def on_stop(self, *_): ...

    def on_end(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


@pytest.mark.parametrize("longest", [64, 4000], ids=["no chunk fits", "no metadata fit"])
def test_a_full_disk_loses_nothing_that_was_stored(tmp_path, longest):
    """Chunks of figures hold several rows, and are written anew for each."""
    spec = wgf.load_problem("ou-2d", "problem.until=0.3", "method.samples=60", "method.step=0.05")
    full, output = Full(longest), wgf.Output(tmp_path / "run", every=0.1)
    with pytest.raises(wgf.RunError, match="File too large.*rows are intact") as caught:
        wgf.solve(*spec, output, observers=[full])
    assert "\n" not in str(caught.value)
    assert wgf.open_run(tmp_path / "run").rows in (1, 2)
    assert check(wgf.open_run(tmp_path / "run")) == []
    assert wgf.solve(*spec, output, resume=True).summary.finished


def test_only_where_a_run_is_its_resumption_is_advised(store, tmp_path):
    with pytest.raises(wgf.InputError, match="a run is stored there.*hpc-wgf resume"):
        refuse_existing(store)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "file", "dangling"):
        with pytest.raises(wgf.InputError, match="Choose another --out$"):
            refuse_existing(tmp_path / name)


def test_stopped_again_it_has_one_checkpoint(tmp_path):
    """The seal of the first is replaced by that of the second, and then by none."""
    stopped_run(tmp_path / "run")
    assert wgf.open_run(tmp_path / "run").attributes["checkpoint"]
    assert here("resume", tmp_path / "run").returncode == 0
    assert wgf.open_run(tmp_path / "run").attributes["checkpoint"] == ""
