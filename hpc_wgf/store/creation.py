"""Makes the arrays of a store: their sizes, shards, chunks and codecs."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from .schema import INTEGERS, LONG_NAMES, SCHEMA, SCHEMA_VERSION

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoreShape:
    """Sizes of the arrays. Stored samples come in shards of whole blocks; a shard has one
    writer, and is compressed in chunks of whole blocks near a mebibyte."""

    parameters: int
    dimension: int
    samples: int
    block: int
    blocks_per_shard: int
    dtype: str

    @property
    def shard(self) -> int:
        """Samples in a shard."""
        return self.block * self.blocks_per_shard

    @property
    def chunk(self) -> int:
        """Samples in a chunk, a divisor of the shard."""
        block_bytes = self.block * self.dimension * np.dtype(self.dtype).itemsize
        most = max(1, _CHUNK_BYTES // block_bytes)
        divisors = (
            k for k in range(1, self.blocks_per_shard + 1) if self.blocks_per_shard % k == 0
        )
        return self.block * max(k for k in divisors if k <= most)


def create_arrays(path: Path, shape: StoreShape, attributes: Mapping[str, Any]) -> None:
    """The whole store in one rename: a process killed meanwhile leaves none that is half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        _fill(part / path.name, shape, attributes)
        (part / path.name).rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(path: Path, shape: StoreShape, attributes: Mapping[str, Any]) -> None:
    group = zarr.open_group(path, mode="w-", zarr_format=3, attributes=dict(attributes))
    n, dimension, parameters = shape.samples, shape.dimension, shape.parameters
    shard, chunk, dtype = shape.shard, shape.chunk, np.dtype(shape.dtype)
    for name, space in (("particles", (dimension,)), ("log_density", ())):
        group.create_array(
            name, shape=(0, n, *space), chunks=(1, chunk, *space), shards=(1, shard, *space),
            dtype=dtype, fill_value=np.nan, compressors=_compressors(), attributes=_named(name),
            dimension_names=("time", "sample", *(["space"] if space else [])),
        )  # fmt: skip
    group.create_array(
        "theta", shape=(0, parameters), chunks=(1, parameters), dtype=dtype, fill_value=np.nan,
        compressors=_compressors(), attributes=_named("theta"),
        dimension_names=("time", "parameter"),
    )  # fmt: skip
    for along, scalars in (("time", SCHEMA.row_scalars), ("step", tuple(SCHEMA.step_fields))):
        for name in scalars:
            integer = name in INTEGERS
            group.create_array(
                name, shape=(0,), chunks=(1024,), dtype="int64" if integer else "float64",
                fill_value=-1 if integer else np.nan, compressors=_compressors(),
                attributes=_named(name), dimension_names=(along,),
            )  # fmt: skip
    group.attrs["schema_version"] = SCHEMA_VERSION
    consolidate(path)


def _named(name: str) -> dict[str, Any]:
    return {"long_name": LONG_NAMES[name]}


def _compressors() -> tuple[BloscCodec, Crc32cCodec]:
    """The checksum lets a damaged chunk be found: a compressor alone may read it without a word."""
    return BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle), Crc32cCodec()


def consolidate(path: Path) -> None:
    """Replace the one file that says which rows there are, in an atomic rename."""
    with warnings.catch_warnings():
        # Consolidated metadata are not in the v3 specification yet; we rely on nothing but
        # their being one file.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=Warning)
        warnings.filterwarnings("ignore", message="Object at (checkpoint|.lock)", category=Warning)
        zarr.consolidate_metadata(str(path))
