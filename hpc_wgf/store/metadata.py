"""The metadata documents of a store, known to its writer: nothing is read back to change them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .attributes import decoded, encoded, sealed
from .files import check_no_link, new_file
from .schema import PARAMETER, STAGE
from .stages import STAGES, Stage

FILE = "zarr.json"
"""The name of the group's document, and of every array's."""

_INLINE = {"kind": "inline", "must_understand": False}


@dataclass(frozen=True)
class StoreMetadata:
    """Of the group and of its arrays, as Zarr v3 writes them. `opening.committed` reads them."""

    attributes: Mapping[str, Any]
    """Of the group, encoded; their digests are made anew when they are published."""

    arrays: Mapping[str, Mapping[str, Any]]
    """The document of every array by name."""

    @property
    def document(self) -> dict[str, Any]:
        """The group's document."""
        # Consolidated metadata are not in the v3 specification yet; we rely on nothing but
        # their being one file.
        return {
            "attributes": self.attributes, "zarr_format": 3, "node_type": "group",
            "consolidated_metadata": {**_INLINE, "metadata": self.arrays},
        }  # fmt: skip

    def resized(self, lengths: Mapping[str, int]) -> StoreMetadata:
        """With other lengths of the dimensions named in `lengths`, in all arrays that have one."""
        return replace(
            self, arrays={name: _resized(array, lengths) for name, array in self.arrays.items()}
        )

    def with_attributes(self, attributes: Mapping[str, Any]) -> StoreMetadata:
        """With these attributes in place of those of the same name."""
        return replace(self, attributes=encoded({**decoded(self.attributes), **attributes}))

    def with_stage(self, stage: Stage, row: int) -> StoreMetadata:
        """With a further stage, which begins with `row`; parameters are padded to the
        longest."""
        entries = [*decoded(self.attributes)[STAGES], stage.entry(row)]
        longest = max(entry["parameters"] for entry in entries)
        longer = self.resized({STAGE: len(entries), PARAMETER: longest})
        return longer.with_attributes({STAGES: entries})

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return len(decoded(self.attributes)[STAGES])

    @property
    def samples_per_shard(self) -> int:
        """Samples in a shard of the particles, which one rank writes."""
        return int(self.arrays["particles"]["chunk_grid"]["configuration"]["chunk_shape"][1])

    @property
    def entries(self) -> int:
        """At how many rows particles are stored."""
        return int(self.arrays["particles"]["shape"][0])

    def write_arrays(self, path: Path, before: StoreMetadata | None = None) -> None:
        """Replace the documents of those arrays that are not as in `before`. Readers of the
        consolidated metadata do not look at them."""
        for name, array in self.arrays.items():
            if before is None or array != before.arrays[name]:
                check_no_link(path, name)
                _replace(path / name / FILE, array)

    def publish(self, path: Path) -> None:
        """Replace the one file that says which rows there are, in an atomic rename."""
        attributes = sealed(self.attributes, self.arrays)
        _replace(path / FILE, {**self.document, "attributes": attributes})


def _resized(array: Mapping[str, Any], lengths: Mapping[str, int]) -> Mapping[str, Any]:
    named = zip(array["dimension_names"], array["shape"], strict=True)
    return {**array, "shape": [lengths.get(name, length) for name, length in named]}


def _replace(file: Path, document: Mapping[str, Any]) -> None:
    part = file.with_name(f"{file.name}.part")
    try:
        with new_file(part) as opened:
            opened.write(json.dumps(document).encode())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
