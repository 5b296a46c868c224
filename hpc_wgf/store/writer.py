"""Writes a run: one writer per shard, a row committed by all ranks or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Tensor

from ..errors import InputError, LoopError, RunError, WgfError
from ..parallel import Communicator, agreed
from .checkpoint import CHECKPOINT, Checkpoint, StepColumns
from .creation import StoreShape, create_store
from .cutting_back import cut_back
from .damage import UNREADABLE, damaged, in_one_line
from .failed_write import FailedWrite, gone
from .lock import StoreLock
from .metadata import StoreMetadata
from .opening import open_run
from .pending import PendingRow
from .pipeline import RowPipeline
from .rows import RowArrays
from .shards import ShardExchange
from .stages import Stage


class RunWriter:
    """The open store of a run on every rank. Make one with `create` or `reopen`.

    Errors: `InputError` where the store cannot be made or is in use; `RunError`, the same on all
    ranks and naming the one that failed, where a row cannot be written. Committed rows stay.
    """

    def __init__(self, path: Path, communicator: Communicator) -> None:
        self.path = path
        self._communicator = communicator
        self._lock: StoreLock | None = None
        self._pipeline = RowPipeline(communicator, FailedWrite(path))
        self._made = False
        self._steps = 0
        self.rows = 0
        """Rows that count, or are on their way."""
        self._place: os.stat_result | None = None

    @classmethod
    def create(
        cls, path: Path, communicator: Communicator, span: slice, *,
        shape: StoreShape, attributes: Mapping[str, Any], stage: Stage,
    ) -> RunWriter:  # fmt: skip
        """A new store at `path`, which must not exist yet. `span`: the samples that this rank
        computes; `stage`: the first one."""
        writer, metadata = cls(path, communicator), None
        with writer._closed_on_failure():
            with agreed(communicator):
                if communicator.rank == 0:
                    refuse_existing(path)
                    try:
                        metadata = create_store(path, shape, attributes, stage)
                        writer._lock = StoreLock(path)
                        writer._made = True
                    except OSError as error:
                        raise InputError(
                            f"cannot create the store {path}: {error.strerror}"
                        ) from error
            writer._open(metadata, span)
        return writer

    @classmethod
    def reopen(
        cls, path: Path, communicator: Communicator, span: slice, *,
        rows: int, steps: int, attributes: Mapping[str, Any],
    ) -> RunWriter:  # fmt: skip
        """The store at `path`, cut back to its committed `rows` and `steps`; `attributes` replace
        those of the same name."""
        writer, metadata = cls(path, communicator), None
        writer.rows, writer._steps = rows, steps
        with writer._closed_on_failure():
            with agreed(communicator):
                if communicator.rank == 0:
                    try:
                        writer._lock = StoreLock(path)
                        metadata = cut_back(path, rows, attributes)
                    except OSError as error:
                        raise InputError(
                            f"cannot write to the store {path}: {error.strerror}. Its committed "
                            "rows are intact; resume it where it can be written to"
                        ) from error
            writer._open(metadata, span)
        return writer

    def _open(self, metadata: StoreMetadata | None, span: slice) -> None:
        """Collective: rank 0 tells the others what it has written, as a file system may go on
        showing them that there is nothing."""
        self._metadata: StoreMetadata = self._communicator.gather(metadata)[0]
        self._entries = self._metadata.entries
        self._exchange = ShardExchange(self._communicator, span, self._metadata.samples_per_shard)
        try:
            self._arrays = RowArrays(self.path, self._metadata)
        except UNREADABLE as error:
            raise damaged(self.path, f"no row can be added: {in_one_line(error)}") from error
        if self._communicator.rank == 0:
            self._place = os.stat(self.path)

    def _check_place(self) -> None:
        """Rank 0 looks. Errors: `RunError` where the store is gone: a writer would make folders
        anew in its place."""
        if self._place is None:
            return
        with suppress(OSError):
            if os.path.samestat(self._place, os.stat(self.path)):
                return
        raise RunError(gone(self.path))

    def commit(
        self, time: float, figures: Mapping[str, float], steps: StepColumns, *,
        theta: np.ndarray, velocity: np.ndarray | None,
        particles: Tensor | None, log_density: Tensor | None, log_weight: Tensor | None = None,
        error_state: np.ndarray | None = None, method_state: np.ndarray | None = None,
        stage: Stage | None = None, attributes: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Append a row and the steps before it. All is copied; the row counts once every rank has
        written its part, which `settle` sees and `finish` waits for. Waits where too many rows are
        on their way.

        `figures`, `steps`: by the names of their columns. `theta`, `velocity` (p,) with p of the
        stage; `particles` (n_local, d) and `log_density` (n_local,) of this rank, both None for a
        row without particles, and where they have weights `log_weight`, which the first row
        stores. `error_state`, `method_state`: what the estimate of the error and the method go
        on with. `stage`: one that begins with this row. `attributes`: of the store from then on.
        Errors also: those of rows before; `ValueError` for figures that are not declared.
        """
        with agreed(self._communicator), FailedWrite(self.path):
            self._check_place()
            tables = self._arrays.row_table(figures), self._arrays.step_table(steps)
        self._pipeline.make_room()
        sent, samples = self._exchange.sent, None
        if particles is not None and log_density is not None:
            samples = sent(particles), sent(log_density)
        vectors = {
            "theta": theta, "velocity": velocity, "error_state": error_state,
            "method_state": method_state,
        }  # fmt: skip
        row = PendingRow(
            row=self.rows, first_step=self._steps, entry=self._entries, time=time,
            figures=tables[0], step_figures=tables[1],
            vectors={name: None if v is None else v.copy() for name, v in vectors.items()},
            samples=samples,
            log_weight=sent(log_weight) if log_weight is not None and self.rows == 0 else None,
            stage=stage,
        )  # fmt: skip
        before, after = self._metadata, row.added_to(self._metadata)
        if attributes:
            after = after.with_attributes(attributes)
        self._pipeline.add(partial(self._write, row, after), partial(self._publish, before, after))
        self._metadata, self.rows = after, row.row + 1
        self._steps, self._entries = row.next_step, row.next_entry

    def _write(self, row: PendingRow, after: StoreMetadata) -> None:
        """This rank's part of a row, on the thread."""
        row.write_samples(self._arrays, self._exchange.written)
        if self._communicator.rank == 0:
            row.write_figures(self._arrays, after)

    def _publish(self, before: StoreMetadata, after: StoreMetadata) -> None:
        """With this a row counts, on the thread of rank 0."""
        self._check_place()
        after.write_arrays(self.path, before)
        after.publish(self.path)
        Checkpoint.remove(self.path)

    def settle(self) -> None:
        """See how far the rows are that are on their way; collective. Errors: theirs."""
        self._pipeline.settle()

    def finish(self) -> None:
        """All rows count when this returns; collective. Errors: theirs."""
        self._pipeline.settle(at_most=0)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint beside the committed rows; it lasts until the next one."""
        self.finish()

        def announce(seal: str) -> None:
            self._metadata = self._metadata.with_attributes({CHECKPOINT: seal})
            self._metadata.publish(self.path)

        with agreed(self._communicator), FailedWrite(self.path, "a checkpoint"):
            self._check_place()
            if self._communicator.rank == 0:
                checkpoint.write(self.path, self.rows, announce)

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Replace attributes of those names once all rows count; collective."""
        self.finish()
        with agreed(self._communicator), FailedWrite(self.path, "attributes"):
            self._check_place()
            if self._communicator.rank == 0:
                self._metadata = self._metadata.with_attributes(attributes)
                self._metadata.publish(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes. Rows that are on their way are written first where all ranks are known to have
        come here."""
        alone = self._communicator.size == 1 and isinstance(error, Exception)
        try:
            if error is None:
                self.finish()
            elif alone or isinstance(error, LoopError):
                with suppress(WgfError):  # The first error says more.
                    self.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Let others write. A store that was made here and has got no row, as the run failed
        before its first one, is taken away: it holds nothing, and would be in the way."""
        self._pipeline.close()
        if self._lock is not None:
            if self._made and self._is_empty():
                shutil.rmtree(self.path, ignore_errors=True)
            self._lock.release()
            self._lock = None

    def _is_empty(self) -> bool:
        """As it lies there: a row may be committed though a rank was lost before saying so."""
        with suppress(InputError):
            return open_run(self.path).rows == 0
        return False

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """A process that fails to open a store may try again."""
        try:
            yield
        except BaseException:
            self.close()
            raise


def refuse_existing(path: Path) -> None:
    """Errors: `InputError` where there is anything at `path`, or no store can be made there."""
    if os.path.lexists(path):
        try:
            open_run(path)
        except InputError as error:
            what = "what is there is no run" if path.is_dir() else "it exists"
            raise InputError(f"will not write to {path}: {what}. Choose another --out") from error
        raise InputError(
            f"will not write to {path}: a run is stored there. Choose another --out, "
            f"or continue that run with: hpc-wgf resume {path}"
        )
    for number, part in enumerate(path.parts):
        before = Path(*path.parts[:number])
        if part == ".." and not before.is_dir():
            raise InputError(
                f"will not write to {path}: there is no folder {before} to go back from. Give the "
                "path without .."
            )
