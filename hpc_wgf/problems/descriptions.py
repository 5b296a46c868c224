"""Vectors and matrices in the descriptions by which a stored run is recognised."""

from __future__ import annotations

import json
import re

import torch
from torch import Tensor

_WRITTEN_OUT = re.compile(r"\b((?:mean|covariance|centre|low|high)=)(\[[-+0-9.e, \[\]]*\])(?=[,)])")


def written(value: Tensor) -> str:
    """The entries of a vector or matrix to the last digit: one number for a vector of equal
    entries, (nested) lists else."""
    return str(_shortest(value.tolist()))


def in_short_form(description: str) -> str:
    """A description of an energy or a density in which all vectors and diagonal matrices are
    written out, as earlier versions had it, with each as `written` has it now."""
    return _WRITTEN_OUT.sub(
        lambda found: found[1] + str(_shortest(_undiagonal(json.loads(found[2])))), description
    )


def _shortest(entries: object) -> object:
    """A number in place of a list of equal numbers."""
    if isinstance(entries, list) and not isinstance(entries[0], list) and len(set(entries)) == 1:
        return entries[0]
    return entries


def _undiagonal(entries: list[object]) -> list[object]:
    """The diagonal of a diagonal matrix; anything else unchanged."""
    if not isinstance(entries[0], list):
        return entries
    m = torch.tensor(entries, dtype=torch.float64)
    return m.diagonal().tolist() if torch.equal(m, torch.diag(m.diagonal())) else entries
