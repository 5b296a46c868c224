"""Sums over all pairs by PyKeOps, which compiles a loop over them for every kernel, without memory
for the pairs (B. Charlier, J. Feydy, J. A. Glaunès, F.-D. Collin, G. Durif, J. Mach. Learn. Res. 22
(2021) 74)."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from shutil import which
from typing import Any

import torch
from torch import Tensor

from ..choices import PairSums
from ..errors import InputError
from ..parallel import threads_as_of_torch
from .formulas import Formula, formula_of
from .kernels import Kernel, PairKernel

# Particles from which a run takes enough sums for the seconds of a compilation to be made up for.
_WORTH_COMPILING = 8192
_MOST_DIMENSIONS = 6  # beyond which tiles are products of matrices, and faster


def fastest_sums(kernel: PairKernel, particles: int, dimension: int) -> PairSums:
    """Tiles, or KeOps where it is installed and faster: for `particles` from 8192 on in up to six
    dimensions, singular kernels whose weights are roots and quotients, and where there is no GPU.
    There KeOps has to be asked for, as it does not work with every version of CUDA."""
    formula = formula_of(kernel)
    wins = formula is not None and formula.is_rational and kernel.singular
    there = is_installed() and not torch.cuda.is_available()
    pays = particles >= _WORTH_COMPILING and dimension <= _MOST_DIMENSIONS
    return PairSums.KEOPS if wins and there and pays else PairSums.TILES


def is_installed() -> bool:
    """Whether PyKeOps can be imported, as far as is known without doing so, and there is the
    compiler that it calls."""
    return find_spec("pykeops") is not None and which(os.environ.get("CXX") or "g++") is not None


def check_formula(kernel: PairKernel) -> None:
    """Errors: `InputError` where KeOps does not know the kernel."""
    if formula_of(kernel) is None:
        raise InputError(
            f"{kernel} has no formula for pairs = 'keops', as functions of users and K₀ have none: "
            "use pairs = 'tiles'"
        )


def check_installed() -> None:
    """Errors: `InputError` where PyKeOps is not installed."""
    if not is_installed():
        raise InputError(
            "pairs = 'keops', but PyKeOps is not installed, or g++ (or $CXX) that it calls is not "
            "there: pip install 'hpc-wgf[keops]'. A run that has begun by it goes on by it only; a "
            "new one may have pairs = 'tiles'"
        )


def keops_sums(kernel: Kernel, x: Tensor, y: Tensor, *, own: slice, potential: bool) -> Tensor:
    """Σ_y ∇J(x−y), (n, d), for particles x, (n, d), and y, (m, d).

    With `potential`, Σ_y J(x−y) is appended as a last column, (n, d + 1). The x of `own` are the
    particles y, and do not meet themselves. The sum for an x does not depend on the other x.

    Errors: `InputError` where the formula cannot be compiled."""
    if not (len(x) and len(y)):
        return x.new_zeros(len(x), x.shape[1] + potential)
    formula = formula_of(kernel)
    assert formula is not None  # Else there is no energy: `check_formula`.
    given = [x.contiguous(), y.contiguous()]
    if formula.parameters:
        given.append(x.new_tensor(formula.parameters))
    sums = _compiled(_text(formula, kernel, potential), x.shape[1], len(formula.parameters),
                     x.dtype, x.device.type)(*given)  # fmt: skip
    if potential and not kernel.singular:
        sums[own, -1] -= kernel.value(x.new_zeros(1))
    return sums


def _text(formula: Formula, kernel: Kernel, potential: bool) -> str:
    """What is summed. A singular kernel leaves out the pairs at distance 0."""
    weight, value = formula.weight, formula.value
    if kernel.singular:
        weight, value = (f"IfElse(-SqDist(x,y),IntCst(0),{each})" for each in (weight, value))
    force = f"{weight}*(x-y)"
    return f"Concat({force},{value})" if potential else force


@cache
def _compiled(
    text: str, d: int, parameters: int, dtype: torch.dtype, device: str
) -> Callable[..., Tensor]:
    """The sum over y of the formula `text`, compiled, or found where it was before."""
    names = [f"x=Vi(0,{d})", f"y=Vj(1,{d})"] + [f"p=Pm(2,{parameters})"] * bool(parameters)
    backend = "CPU" if device == "cpu" else "auto"
    tried = [torch.ones(1, d, dtype=dtype, device=device)] * 2
    tried += [torch.ones(parameters, dtype=dtype, device=device)] * bool(parameters)
    try:
        with _alone(), redirect_stdout(StringIO()):
            function: Any = _library().Genred(text, names, reduction_op="Sum", axis=1)
            function(*tried, backend=backend)
    except Exception as error:  # KeOps and its compilers raise what they like.
        raise InputError(
            f"PyKeOps cannot compile its sums over pairs here, {type(error).__name__}: "
            f"{str(error).strip().splitlines()[-1:]}: it needs g++, on a GPU also CUDA's "
            "headers. Use pairs = 'tiles'"
        ) from error

    def sums(*given: Tensor) -> Tensor:
        result: Tensor = function(*given, backend=backend)
        return result

    return sums


def _library() -> Any:
    """PyKeOps, with as many threads as torch has."""
    threads_as_of_torch()
    import pykeops
    import pykeops.torch

    pykeops.set_verbose(False)
    return pykeops.torch


@contextmanager
def _alone() -> Iterator[None]:
    """One process of a user and machine at a time: two that compile the same formula at once would
    write the same files. KeOps keeps them in a folder of the machine's own."""
    path = Path(tempfile.gettempdir()) / f"hpc-wgf-keops-{os.getuid()}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
