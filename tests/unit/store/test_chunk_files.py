"""Files of chunks and shards: to the byte those that Zarr writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from hpc_wgf.store.chunk_files import ChunkFiles
from hpc_wgf.store.tables import GrowingTable

NAN = np.nan
COMPRESSORS = [
    (Crc32cCodec(),),
    (BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()),
    (BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),),
    (),
]


def pair(folder: Path, **layout) -> tuple[zarr.Array, ChunkFiles]:
    """An array that Zarr writes, and the files of one beside it of the same layout."""
    made = [
        zarr.create_array(folder / name / "a", fill_value=NAN, zarr_format=3, **layout)
        for name in ("zarr", "ours")
    ]
    return made[0], ChunkFiles(folder / "ours", "a", made[0].metadata.to_dict())


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("compressors", COMPRESSORS, ids=["checked", "zstd", "lz4", "plain"])
def test_shards_are_those_of_zarr(tmp_path, dtype, compressors):
    """Two rows of 50 samples in shards of 24 and chunks of 8: the last ends within a chunk. A chunk
    of fill values alone is left out, as is a shard of them."""
    layout = {"dtype": dtype, "compressors": compressors, "shards": (1, 24, 3), "chunks": (1, 8, 3)}
    theirs, ours = pair(tmp_path, shape=(2, 50, 3), **layout)
    values = np.random.default_rng(0).standard_normal((2, 50, 3)).astype(dtype)
    values[0, 8:16] = values[1, 24:48] = NAN
    values[0, 3, 1] = NAN
    for row in (0, 1):
        theirs[row] = values[row]
        for shard in range(3):
            part = values[row, 24 * shard : 24 * (shard + 1)]
            ours.write((row, shard, 0), part[None])
    assert files(tmp_path / "ours") == files(tmp_path / "zarr")
    assert len(files(tmp_path / "ours")) == 1 + 5
    assert np.array_equal(zarr.open_array(tmp_path / "ours" / "a")[:], values, equal_nan=True)


def test_a_table_that_grows_is_that_of_zarr(tmp_path):
    """In chunks of 4 rows, from a row within one on, several rows at once."""
    layout = {"dtype": "float64", "compressors": COMPRESSORS[1], "chunks": (4, 2)}
    theirs, ours = pair(tmp_path, shape=(20, 2), **layout)
    values = np.random.default_rng(0).standard_normal((20, 2))
    theirs[:14] = values[:14]
    table = GrowingTable(ours, lambda first, last: pytest.fail("nothing was committed"))
    table.add(0, values[:3])
    table.add(3, values[3:3])
    asked = []

    def committed(first, last):
        asked.append((first, last))
        return values[first:last]

    again = GrowingTable(ours, committed)
    again.add(3, values[3:4])
    again.add(4, values[4:13])
    again.add(13, values[13:14])
    assert asked == [(0, 3)]
    assert files(tmp_path / "ours") == files(tmp_path / "zarr")


def test_a_codec_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the codec gzip is not one that this version writes"):
        pair(tmp_path, dtype="float64", shape=(3,), compressors=zarr.codecs.GzipCodec())


def test_nothing_is_made_anew_where_a_store_is_gone(tmp_path):
    _, ours = pair(tmp_path, dtype="float64", shape=(3,), compressors=())
    (tmp_path / "ours").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        ours.write((0,), np.zeros(3))
    assert not (tmp_path / "ours").exists()


def test_a_failed_write_leaves_the_file_before(tmp_path, monkeypatch):
    _, ours = pair(tmp_path, dtype="float64", shape=(3,), compressors=())
    ours.write((0,), np.zeros(3))
    before = files(tmp_path / "ours")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        ours.write((0,), np.ones(3))
    assert files(tmp_path / "ours") == before
