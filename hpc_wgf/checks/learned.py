"""Samples in files and what is learned from them: what is to be known before a run, and whether all
ranks have the same."""

from __future__ import annotations

import hashlib

from ..errors import InputError
from ..parallel import Communicator
from ..problems import Problem, SampleStart, SampleTarget, potentials_of


def sample_notes(problem: Problem) -> list[str]:
    """What is to be known of a start and of targets that samples tell, a sentence or two each; the
    same on every rank."""
    notes = [note for each in _of_samples(problem) for note in each.notes()]
    if missing := problem.left_out_of_energy:
        notes.insert(
            0,
            f"samples alone tell the start density λ: energies are given without {missing}, the "
            "same number at all times, and there are no densities ρ, no KL and no log Z",
        )
    return notes


def check_same_samples(problem: Problem, communicator: Communicator) -> None:
    """Errors: `InputError` on every rank unless all have found the same samples in their files, and
    learned the same from them. Collective where there are any; hashes are compared."""
    of_samples = _of_samples(problem)
    if not of_samples:
        return
    found = f"{of_samples} {learned_digest(problem)}".encode()
    if len(set(communicator.gather(hashlib.sha256(found).hexdigest()))) > 1:
        raise InputError(
            "the ranks do not find the same samples, or do not learn the same from them: put one "
            "file where all ranks see it, and use one kind of processor and number of threads"
        )


def learned_digest(problem: Problem) -> str | None:
    """A hash of all bits that are learned from samples, by which a run that is resumed knows them
    again; None where nothing is."""
    learned = [numbers for each in _of_samples(problem) for numbers in each.learned()]
    digest = hashlib.sha256()
    for numbers in learned:
        digest.update(numbers.numpy().tobytes())
    return digest.hexdigest() if learned else None


def _of_samples(problem: Problem) -> list[SampleStart | SampleTarget]:
    parts = [problem.start, *potentials_of(problem.energy)]
    return [each for each in parts if isinstance(each, SampleStart | SampleTarget)]
