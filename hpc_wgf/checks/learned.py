"""Samples in files and what is learned from them: what is to be known before a run, and whether all
ranks have the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor

from ..errors import InputError
from ..parallel import Communicator
from ..problems import Problem, SampleStart, SampleTarget, origin_of, potentials_of


def sample_notes(problem: Problem) -> list[str]:
    """What is to be known of a start and of targets that samples tell, a sentence or two each; the
    same on every rank."""
    notes = [note for each in _from_files(problem) for note in each.notes()]
    if missing := problem.left_out_of_energy:
        notes.insert(
            0,
            f"samples alone tell the start density λ: energies are given without {missing}, the "
            "same number at all times, and there are no densities ρ, no KL and no log Z",
        )
    return notes


def check_same_samples(problem: Problem, communicator: Communicator) -> None:
    """Errors: `InputError` on every rank unless all have found the same in their files, and
    learned the same from them. Collective where there are any; hashes are compared."""
    from_files = _from_files(problem)
    if not from_files:
        return
    found = f"{from_files} {learned_digest(problem)}".encode()
    if len(set(communicator.gather(hashlib.sha256(found).hexdigest()))) > 1:
        raise InputError(
            "the ranks do not find the same samples or stores, or do not learn the same from them: "
            "put one where all ranks see it, and use one kind of processor and number of threads"
        )


def learned_digest(problem: Problem) -> str | None:
    """A hash of all bits that are learned from samples, by which a run that is resumed knows them
    again; None where nothing is."""
    learned = [numbers for each in _from_files(problem) for numbers in each.learned()]
    digest = hashlib.sha256()
    for numbers in learned:
        digest.update(numbers.numpy().tobytes())
    return digest.hexdigest() if learned else None


class _FromFiles(Protocol):
    """What a start density or a potential that files tell says of itself; its `repr` has a digest
    of the file."""

    def notes(self) -> Sequence[str]: ...
    def learned(self) -> Sequence[Tensor]: ...


def _from_files(problem: Problem) -> list[_FromFiles]:
    """Those of samples, and a start that a stored map has carried."""
    origin = origin_of(problem.start)
    parts = [origin, *potentials_of(problem.energy)]
    found: list[_FromFiles] = [
        each for each in parts if isinstance(each, SampleStart | SampleTarget)
    ]
    if origin is not problem.start and hasattr(problem.start, "notes"):
        found.append(cast(_FromFiles, problem.start))
    return found
