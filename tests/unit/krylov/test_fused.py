"""The kernels of an iteration, run by Triton's interpreter, against the operations of torch, and
compiled for cards that are not there."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
import torch

from hpc_wgf.krylov import DenseOperator, Iteration, recurrence
from hpc_wgf.krylov.minres import _advance

triton = pytest.importorskip("triton")
P = 1500  # two blocks, the second not full


@pytest.fixture
def interpreted(monkeypatch) -> ModuleType:
    """`fused` with kernels that run on the CPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.find_spec("hpc_wgf.krylov.fused")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def states(dtype: torch.dtype, steps, count: int):
    """x, r and the scalars after every iteration on a system with a shift and a preconditioner."""
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(P, 40, generator=generator, dtype=torch.float64)
    matrix = (factor @ factor.T / P + torch.diag(torch.linspace(0.5, 2, P))).to(dtype)
    b = torch.randn(P, generator=generator, dtype=torch.float64).to(dtype)
    diagonal = matrix.diagonal() + 0.1
    iteration = Iteration(DenseOperator(matrix), b, lambda v: v / diagonal)
    iteration.begin(b, 0.1)
    for _ in range(count):
        _advance(DenseOperator(matrix), iteration.state, lambda v: v / diagonal, steps)
        s = iteration.state
        yield s.x.clone(), s.r.clone(), s.scalars.vector.clone()


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-13), (torch.float32, 1e-4)])
def test_kernels_do_what_torch_does(interpreted, dtype, close):
    pairs = zip(states(dtype, interpreted, 5), states(dtype, recurrence, 5), strict=True)
    for found, expected in pairs:
        for a, b in zip(found, expected, strict=True):
            assert float((a - b).norm()) <= close * float(b.norm())


def test_a_value_that_is_not_a_number_is_seen(interpreted):
    """A product that overflows must not look like an exhausted Krylov space."""
    b = torch.ones(P, dtype=torch.float64)
    iteration = Iteration(DenseOperator(torch.zeros(1, 1)), b)
    iteration.begin(b, 0.0)
    bad = torch.tensor(torch.nan, dtype=torch.float64)
    interpreted.rotate(iteration.state, bad.new_ones(()), bad)
    assert iteration.state.scalars.beta.isnan()
    interpreted.rotate(iteration.state, bad.new_ones(()), -bad.new_ones(()))
    assert float(iteration.state.scalars.beta) == 0.0  # the rounding of a square that is 0


@pytest.mark.parametrize("architecture", [80, 90])
def test_kernels_compile_without_spills(architecture):
    from hpc_wgf.krylov import fused

    vectors = dict.fromkeys(("x", "r", "r2", "v", "w", "w2"), "*fp64")
    asked = {
        fused.move_kernel: (vectors | {"c": "*fp64", "p": "i32", "BLOCK": "constexpr"}, 1024),
        fused.rotate_kernel: (
            {"alpha": "*fp64", "square": "*fp64", "c": "*fp64", "eps": "fp32"}, None,
        ),
    }  # fmt: skip
    for kernel, (signature, block) in asked.items():
        constants = {} if block is None else {(list(signature).index("BLOCK"),): block}
        source = triton.compiler.ASTSource(kernel, signature, constants)
        target = triton.backends.compiler.GPUTarget("cuda", architecture, 32)
        code = triton.compile(source, target=target).asm["ptx"]
        assert "fma.rn.f64" in code
        assert ".local" not in code  # registers that do not suffice
