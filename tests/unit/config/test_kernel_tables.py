"""Kernels in run files: every kind, their softening, and what is refused."""

from __future__ import annotations

import pytest

import hpc_wgf as wgf

_KERNELS = {
    'kind="power", exponent=0': "Power(0.0)",
    'kind="power"': "Power(2.0)",
    'kind="morse", strength=3, range=0.2': "Morse(strength=3.0, range=0.2)",
    'kind="screened-coulomb", length=2, field=2': "ScreenedCoulomb(length=2.0, field=2)",
    'kind="nonradial-kernel", function="user_objects:stripes"':
        "NonradialKernel(user_objects:stripes",
}  # fmt: skip


def _energy(kernel: str, more: str = "") -> str:
    return f'problem.energy=[{{kind="interaction", kernel={{{kernel}}}{more}}}]'


@pytest.mark.parametrize("kernel", _KERNELS)
def test_a_table_builds_its_kernel(kernel):
    spec = wgf.load_problem("keller-segel-2d", _energy(kernel))
    (part,) = spec.problem.energy.interactions
    assert str(part.kernel).startswith(_KERNELS[kernel])


def test_a_kernel_is_softened_over_the_length_that_is_given():
    setting = _energy('kind="power", exponent=0', ", softening=1e-2")
    spec = wgf.load_problem("keller-segel-2d", setting)
    (part,) = spec.problem.energy.interactions
    assert str(part.kernel) == "Softened(Power(0.0), length=0.01)"
    assert not part.kernel.singular


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (_energy('kind="power", exponent=-2'), "infinite in dimension 2"),
        (_energy('kind="screened-coulomb", field=1'), "field"),
        (_energy('kind="nonradial-kernel", function="user_objects:lopsided"'), "is not even"),
        (_energy('kind="nonradial-kernel", function="user_objects:stripes"', ", softening=0.1"),
         "only a radial kernel can be softened"),
        (_energy('kind="power"', ", softening=-0.1"), "softening"),
    ],
)  # fmt: skip
def test_what_is_no_kernel_is_refused_in_one_line(setting, message):
    with pytest.raises(wgf.InputError, match=message) as refused:
        wgf.load_problem("keller-segel-2d", setting)
    assert "\n" not in str(refused.value)
