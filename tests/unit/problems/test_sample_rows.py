"""Samples in files: the same rows from every format; one line for what is no file of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import zarr

from hpc_wgf import InputError
from hpc_wgf.problems.sample_rows import SampleRows

X = np.random.default_rng(0).standard_normal((500, 3))


def written(folder, form):
    path = folder / f"x.{form.split()[-1]}"
    match form:
        case "npy":
            np.save(path, X)
        case "by columns, big-endian npy":
            np.save(path, np.asfortranarray(X.astype(">f8")))
        case "npz":
            np.savez(path, other=np.zeros(3), x=X)
        case "compressed npz":
            np.savez_compressed(path, x=X)
        case "zarr":
            zarr.save(str(path), X)
        case "group of zarr":
            group = zarr.open_group(str(path), mode="w")
            group["x"], group["other"] = X, X[:2]
    return path


@pytest.mark.parametrize(
    "form",
    ["npy", "by columns, big-endian npy", "npz", "compressed npz", "zarr", "group of zarr"],
)
def test_rows_of_every_format(tmp_path, form):
    several = form in ("npz", "group of zarr")
    rows = SampleRows(written(tmp_path, form), 3, array="x" if several else "")
    numbers = np.array([499, 3, 3, 0, 17])
    assert (rows.count, rows.dimension) == X.shape
    assert np.array_equal(rows.at(numbers).numpy(), X[numbers])
    assert np.array_equal(rows.read(slice(5, 9)).numpy(), X[5:9])


def test_an_uncompressed_file_is_mapped_and_not_read(tmp_path):
    for form in ("npy", "npz"):
        rows = SampleRows(written(tmp_path, form), array="" if form == "npy" else "x")
        assert isinstance(rows._values, np.memmap)


def test_the_digest_tells_a_changed_row_and_not_the_place_of_the_file(tmp_path):
    first = SampleRows(written(tmp_path, "npy"))
    (tmp_path / "elsewhere").mkdir()
    assert SampleRows(written(tmp_path / "elsewhere", "npy")).digest == first.digest
    assert SampleRows(torch.from_numpy(X)).digest == first.digest
    changed = X.copy()
    changed[321, 1] += 1e-12
    assert SampleRows(changed).digest != first.digest


def test_one_coordinate_may_be_a_vector():
    assert SampleRows(X[:, 0], 1).at(np.array([2])).shape == (1, 1)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (X[:, :2], "dimension 2, shape (500, 2), but the problem has dimension 3"),
        (np.where(X[7, 1] == X, np.nan, X), "row 7, counted from 0"),
        (X[None], "expected real numbers of shape (N, d)"),
        (X.astype(complex), "expected real numbers"),
        (X[:, :0], "an array holds an array of shape (500, 0)"),
        ([[0.0]], "expected the path"),
        ("nowhere.npy", "there is no file of samples nowhere.npy"),
        ("s3://bucket/x.npy", "is a URL"),
    ],
)
def test_what_are_no_samples(source, said):
    with pytest.raises(InputError) as caught:
        SampleRows(source, 3)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_has_no_name_is_not_asked_for_by_one(tmp_path):
    for source in (written(tmp_path, "npy"), written(tmp_path, "zarr"), X):
        with pytest.raises(InputError, match="is one array without a name: leave array = 'x' out"):
            SampleRows(source, array="x")


def test_a_directory_that_is_no_store(tmp_path):
    with pytest.raises(InputError, match="is a directory that holds no Zarr array"):
        SampleRows(tmp_path)


def test_nothing_of_a_file_is_executed(tmp_path):
    """Pickled objects are refused, in both formats that may hold them."""
    objects = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "o.npz", objects)
    for name in ("o.npy", "o.npz"):
        with pytest.raises(InputError, match="cannot read samples from") as caught:
            SampleRows(tmp_path / name)
        assert ".. Expected" not in str(caught.value)


def test_one_of_several_arrays_has_to_be_named(tmp_path):
    path = written(tmp_path, "npz")
    for wanted in ("", "y"):
        with pytest.raises(InputError, match="holds the arrays other, x: say by array"):
            SampleRows(path, array=wanted)
    (tmp_path / "x.npy").write_text("no numbers")
    with pytest.raises(InputError, match="cannot read samples from"):
        SampleRows(tmp_path / "x.npy")
