"""Kernels are compiled for GPUs that are not there, and looked at."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from kernels_on_cpu import compiled, ptxas

from hpc_wgf.gpu import products, random_numbers

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
    "product": (products.gram_kernel, FIXED | CHAIN | {"H": products.UNITS}),
    "sum": (products.sum_kernel, FIXED | {"H": 16, "K": 64}),
}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", KERNELS)
def test_double_precision_takes_tensor_instructions_and_does_not_spill(name, capability, tmp_path):
    kernel, constants = KERNELS[name]
    ptx = compiled(kernel, MATRICES, constants, capability)
    assert re.search(r"mma\S*\.f64", ptx)
    assert spilled(ptx, capability, tmp_path) == 0


def test_random_numbers_are_compiled_without_a_spill(tmp_path):
    constants = {"BLOCK": random_numbers.BLOCK}
    ptx = compiled(random_numbers.uniform_kernel, {"out": "*fp64"}, constants, 90)
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
