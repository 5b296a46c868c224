"""Samples of the philox stream are drawn on the GPU, and are those of the CPU."""

from __future__ import annotations

import pytest
import torch
from pretended_gpu import OnGPU, pretended_gpu

from hpc_wgf import Barenblatt, Box, Gaussian, Mixture, Paraboloid, gpu
from hpc_wgf.ensemble.numbered import NumberedSamples
from hpc_wgf.parallel import RandomStream, SampleBlocks, uniforms
from hpc_wgf.periods import Periods
from hpc_wgf.problems.inverse_transform import InverseTransform
from hpc_wgf.problems.wrapped import wrapped

STARTS = {
    "gaussian": Gaussian(3, [1.0, 0.0, -1.0], torch.eye(3) + 0.5),
    "mixture": Mixture([Gaussian(2), Box(2, 2.0, 3.0, 0.5), Barenblatt(2, 2.0)], [1.0, 2.0, 1.0]),
    "uniform": Box(2, -1.0, 2.0),
    "barenblatt": Barenblatt(15, 2.0),
    "line": Paraboloid(1, 1.0, 2.0, 0.3),
    "on a circle": wrapped(Gaussian(2, 1.0), Periods((3.0, 0.0))),
}
BLOCKS = SampleBlocks(1000, 48)
ALL = BLOCKS, range(BLOCKS.count), RandomStream.STEP


@pytest.mark.parametrize("name", STARTS)
def test_they_are_those_of_the_cpu_to_rounding_and_the_host_has_no_part_in_them(name):
    start = STARTS[name]
    expected = NumberedSamples(start, torch.device("cpu"), 5).of_blocks(*ALL, 3)
    with pretended_gpu() as communicator:
        numbered = NumberedSamples(start, communicator.device, 5)
        numbered.of_blocks(*ALL, 2)  # Constants are uploaded with the first.
        before = communicator.reads()
        found = numbered.of_blocks(*ALL, 3)
        assert isinstance(found, OnGPU)
        assert communicator.reads() == before
        found = found.cpu()
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_a_transform_of_ones_own_is_given_numbers_on_the_host():
    """It need not know of GPUs."""

    class Cube:
        dimension = 1

        def inverse_transform(self):
            return InverseTransform(1, lambda u: torch.from_numpy(u.numpy() ** 2))

    with pretended_gpu() as communicator:
        found = NumberedSamples(Cube(), communicator.device, 5).of_blocks(*ALL, 3)
    assert not isinstance(found, OnGPU)
    assert float(found.mean()) == pytest.approx(1 / 3, abs=0.05)


def test_kernels_of_a_real_one_give_the_same_integers():
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU and the option --gpu")
    device, given = torch.device("cuda", 0), {"seed": 5, "purpose": 1, "step": 3}
    assert gpu.usable(device)
    for span, k in ((slice(0, 3000), 15), (slice((1 << 33) - 9, (1 << 33) + 9), 2)):
        expected = uniforms(span, k, **given, device=torch.device("cpu"))
        assert torch.equal(uniforms(span, k, **given, device=device).cpu(), expected)
