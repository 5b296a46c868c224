"""Volumes, scores and products of users' own maps are held against differences of their images."""

from __future__ import annotations

import pytest
import torch
from every_map import MAPS, D

import hpc_wgf as wgf
from hpc_wgf.checks.transport import check_own
from hpc_wgf.maps import Affine


@pytest.mark.parametrize("name", MAPS)
def test_the_maps_of_the_package_are_right(name):
    z = torch.randn(8, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    check_own(MAPS[name]().double(), z, torch.sin(z))


class Mistaken(Affine):
    def __init__(self, mistake: str = "none") -> None:
        super().__init__(2)
        self.mistake = mistake

    def transport(self, z, score=None):
        image = super().transport(z, score)
        if self.mistake == "volume":
            return image._replace(log_det=1.15 * image.log_det)
        if self.mistake == "score" and score is not None:
            return image._replace(score=score / 1.15)
        return image

    def linearize(self, z):
        jacobian = super().linearize(z)
        if self.mistake == "product":
            right = jacobian.jvp
            jacobian.jvp = lambda v: 1.15 * right(v)
        if self.mistake == "transposed":
            back = jacobian.vjp
            jacobian.vjp = lambda u: (1.15 * back(u)[0], None)
        return jacobian


def solve(map: Affine, dtype: str) -> wgf.Summary:
    parts = [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0, 0.5)), wgf.Entropy(1.0)]
    problem = wgf.Problem(parts, wgf.Gaussian(2), until=0.02)
    options = wgf.PWGFOptions(samples=100, step_size=0.01, rtol=1e-3, dtype=dtype)
    return wgf.solve(problem, map, options).summary


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("mistake", "what"),
    [
        ("volume", r"log\|det ∇T\|"), ("score", "the score that it transports"),
        ("product", "its product J v"), ("transposed", "its product Jᵀw"),
    ],
)  # fmt: skip
def test_a_map_whose_derivatives_are_not_its_own_is_refused(mistake, what, dtype):
    with pytest.raises(wgf.InputError, match=f"not those of its images: {what}"):
        solve(Mistaken(mistake), dtype)


def test_a_right_one_is_not():
    assert solve(Mistaken(), "float64").finished
