"""Makes the arrays of a store: their sizes, shards, chunks and codecs."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from ..choices import Codec
from ..columns import Column, along
from .attributes import encoded
from .checkpoint import CHECKPOINT
from .metadata import FILE, StoreMetadata
from .schema import (
    ARRAYS,
    FIGURES,
    FURTHER,
    PARTICLE_TIME,
    ROUND_BITS,
    SCHEMA_VERSION,
    STEP_FIGURES,
    labelled,
)
from .stages import STAGES, Stage

_CHUNK_BYTES = 1 << 20
_ROWS, _STEPS = 128, 512  # figures of so many rows or steps lie in one chunk


@dataclass(frozen=True)
class StoreShape:
    """Sizes of the arrays. A shard of the samples has one writer, and is compressed in chunks of
    whole blocks near a mebibyte."""

    parameters: int
    """Of the first stage's map."""

    dimension: int
    """Of space."""

    samples: int
    """Of the evaluation sample."""

    block: int
    """Samples in a block, of which shards and chunks are made."""

    blocks_per_shard: int
    """Whole blocks in every shard; the last may be shorter."""

    dtype: str
    """Of parameters, particles and densities, as numpy names it."""

    columns: Sequence[Column]
    """The figures that are stored, in their order."""

    weighted: bool = False
    """Whether the samples have importance weights."""

    particle_times: bool = False
    """Whether particles have times of their own, as not all rows have them."""

    particles_dtype: str | None = None
    """Of the particles, None for `dtype`."""

    round_bits: int | None = None
    """Bits of their mantissa that are kept, None for all."""

    codec: str = Codec.ZSTD
    """How they are compressed."""

    error_numbers: int = 0
    """What the estimate of the error goes on with takes so many numbers."""

    method_numbers: int = 0
    """What the method goes on with, beside θ, takes so many."""

    @property
    def further(self) -> list[str]:
        """The names of the arrays that only some runs have."""
        named = {
            "log_weight": self.weighted, "error_state": self.error_numbers > 0,
            "method_state": self.method_numbers > 0, PARTICLE_TIME: self.particle_times,
        }  # fmt: skip
        return [name for name, has in named.items() if has]

    @property
    def shard(self) -> int:
        """Samples in a shard."""
        return self.block * self.blocks_per_shard

    @property
    def chunk(self) -> int:
        """Samples in a chunk, a divisor of the shard."""
        itemsize = np.dtype(self.particles_dtype or self.dtype).itemsize
        block_bytes = self.block * self.dimension * itemsize
        most = max(1, _CHUNK_BYTES // block_bytes)
        divisors = (
            k for k in range(1, self.blocks_per_shard + 1) if self.blocks_per_shard % k == 0
        )
        return self.block * max(k for k in divisors if k <= most)


def create_store(
    path: Path, shape: StoreShape, attributes: Mapping[str, Any], stage: Stage
) -> StoreMetadata:
    """The whole store in one rename: a process killed meanwhile leaves none that is half made.
    `stage`: the first one. Errors: `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        metadata = _filled(part / path.name, shape, attributes, stage)
        (part / path.name).rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return metadata


def _filled(
    path: Path, shape: StoreShape, attributes: Mapping[str, Any], stage: Stage
) -> StoreMetadata:
    stages = [stage.entry(row=0)]
    given = encoded({
        "schema_version": SCHEMA_VERSION, CHECKPOINT: "", **attributes, STAGES: stages,
        FURTHER: shape.further,
    })  # fmt: skip
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    _create_samples(group, shape)
    _create_parameters(group, shape, stage)
    _create_figures(group, shape)
    _create_states(group, shape)
    with warnings.catch_warnings():
        # What we rely on is said where the file is written anew for every row.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=Warning)
        zarr.consolidate_metadata(str(path), zarr_format=3)
    document = json.loads((path / FILE).read_text())
    metadata = StoreMetadata(given, document["consolidated_metadata"]["metadata"])
    metadata.publish(path)
    return metadata


def _create_samples(group: Any, shape: StoreShape) -> None:
    n, dimension, shard, chunk = shape.samples, shape.dimension, shape.shard, shape.chunk
    attributes = {} if shape.round_bits is None else {ROUND_BITS: shape.round_bits}
    coded = {"particles": _coded("particles", attributes, codec=shape.codec),
             "log_density": _coded("log_density")}  # fmt: skip
    for name, space in (("particles", (dimension,)), ("log_density", ())):
        if shape.particle_times:
            names = coded[name]["dimension_names"]
            coded[name]["dimension_names"] = (PARTICLE_TIME, *names[1:])
        dtype = (shape.particles_dtype or shape.dtype) if name == "particles" else shape.dtype
        group.create_array(
            name, shape=(0, n, *space), chunks=(1, chunk, *space), shards=(1, shard, *space),
            dtype=np.dtype(dtype), fill_value=np.nan, **coded[name],
        )  # fmt: skip
    if shape.weighted:
        group.create_array(
            "log_weight", shape=(n,), chunks=(chunk,), shards=(shard,),
            dtype=np.dtype(shape.dtype), fill_value=np.nan, **_coded("log_weight"),
        )  # fmt: skip
    for name, length in (("sample", n), ("axis", dimension)):
        group.create_array(
            name, shape=(length,), chunks=(length,), dtype="int64", fill_value=-1, **_coded(name)
        )[:] = np.arange(length)


def _create_parameters(group: Any, shape: StoreShape, stage: Stage) -> None:
    parameters, dtype = shape.parameters, np.dtype(shape.dtype)
    for name in ("theta", "velocity", "stage_theta"):
        group.create_array(
            name, shape=(0, parameters), chunks=(1, parameters), dtype=dtype, fill_value=np.nan,
            **_coded(name),
        )  # fmt: skip
    group["stage_theta"].resize((1, parameters))
    group["stage_theta"][0] = stage.theta


def _create_states(group: Any, shape: StoreShape) -> None:
    sizes = {"error_state": shape.error_numbers, "method_state": shape.method_numbers}
    for name, numbers in sizes.items():
        if numbers:
            group.create_array(
                name, shape=(0, numbers), chunks=(1, numbers), dtype="float64",
                fill_value=np.nan, **_coded(name),
            )  # fmt: skip


def _create_figures(group: Any, shape: StoreShape) -> None:
    rows, steps = along("time", shape.columns), along("step", shape.columns)
    for name, length, columns in ((FIGURES, _ROWS, rows), (STEP_FIGURES, _STEPS, steps)):
        width = len(columns)
        group.create_array(
            name, shape=(0, width), chunks=(length, width), dtype="float64", fill_value=np.nan,
            **_coded(name, labelled(columns)),
        )  # fmt: skip
    for name in ("time", *([PARTICLE_TIME] if shape.particle_times else [])):
        group.create_array(
            name, shape=(0,), chunks=(1024,), dtype="float64", fill_value=np.nan, **_coded(name)
        )


_COMPRESSORS: Mapping[str, Sequence[BloscCodec]] = {
    Codec.ZSTD: [BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle)],
    Codec.LZ4: [BloscCodec(cname="lz4", clevel=1, shuffle=BloscShuffle.bitshuffle)],
    Codec.NONE: [],
}


def _coded(
    name: str, attributes: Mapping[str, Any] | None = None, *, codec: str = Codec.ZSTD
) -> dict[str, Any]:
    """Labels and codecs of an array. The checksum lets a damaged chunk be found: a compressor
    alone may read it without a word."""
    label = ARRAYS[name]
    return {
        "dimension_names": label.dimensions,
        "compressors": (*_COMPRESSORS[codec], Crc32cCodec()),
        "attributes": {
            "long_name": label.long_name, "units": label.units, **(attributes or {}),
        },
    }  # fmt: skip
