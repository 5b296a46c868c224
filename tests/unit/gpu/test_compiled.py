"""Kernels are compiled for GPUs that are not there, and looked at."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from kernels_on_cpu import compiled, ptxas

from hpc_wgf.gpu import matrices, products, random_numbers

MATRICES = dict.fromkeys(
    [
        "partial",
        "a",
        "b",
        "linear",
        "inputs",
        "activations",
        "weights",
        "v_linear",
        "v_inner",
        "v_outer",
        "w",
        "u",
    ],
    "*fp64",
)
FIXED = {"SAMPLES": products.SAMPLES, "TILES": products.TILES}
CHAIN = {"LINEAR": True, "BLOCK": True, "WEIGHTED": True, "D": 16, "K": 16, "J": 16}
KERNELS = {
    "product": (products.gram_kernel, FIXED | CHAIN | {"H": products.UNITS}, products.WARPS, 512),
    "product, few units": (products.gram_kernel, FIXED | CHAIN | {"H": 16}, products.WARPS, 64),
    "sum": (products.sum_kernel, FIXED | {"H": 16, "K": 64}, 4, 0),
}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", KERNELS)
def test_double_precision_takes_tensor_instructions_and_hardly_spills(name, capability, tmp_path):
    """What the product spills for 32 units in one program costs less, on an H100, than two
    programs that push every sample: 63 against 73 microseconds for 65 536 samples."""
    kernel, constants, warps, bytes_spilled = KERNELS[name]
    ptx = compiled(kernel, MATRICES, constants, capability, warps=warps)
    assert re.search(r"mma\S*\.f64", ptx)
    assert spilled(ptx, capability, tmp_path) <= bytes_spilled


@pytest.mark.parametrize("kernel", [matrices.plain_kernel, matrices.pivoting_kernel])
@pytest.mark.parametrize(("k", "capability"), [(8, 80), (16, 80), (16, 90)])
def test_inverses_stay_in_registers(k, kernel, capability, tmp_path):
    pointers = dict.fromkeys(["matrices", "inverses", "log_abs", "sign"], "*fp64")
    tile = max(1, min(matrices.MOST, matrices.NUMBERS // k**2))
    constants = {"K": k, "MATRICES": tile, "INVERSE": True}
    given = pointers | {"marked": "*i8", "most": "fp32"}
    ptx = compiled(kernel, given, constants, capability, warps=1)
    assert spilled(ptx, capability, tmp_path) == 0


def test_random_numbers_are_compiled_without_a_spill(tmp_path):
    constants = {"BLOCK": random_numbers.BLOCK}
    ptx = compiled(random_numbers.uniform_kernel, {"out": "*fp64"}, constants, 90, warps=4)
    assert spilled(ptx, 90, tmp_path) == 0


def spilled(ptx: str, capability: int, folder: Path) -> int:
    """Bytes that do not fit the registers, as ptxas tells."""
    if (assembler := ptxas()) is None:
        pytest.skip("Triton has brought no ptxas, which tells of spills")
    source = folder / "kernel.ptx"
    source.write_text(ptx)
    target = f"--gpu-name=sm_{capability}{'a' if capability == 90 else ''}"
    said = subprocess.run(
        [assembler, "-v", target, source, "-o", folder / "kernel.cubin"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    return sum(int(each) for each in re.findall(r"(\d+) bytes spill (?:stores|loads)", said))
