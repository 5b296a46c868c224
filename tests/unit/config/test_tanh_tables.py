"""Tables of maps of tanh features: what they build, of what size."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.config.tanh_maps import ConvexTable, NeuralOdeTable, RealNvpTable


def problem(dimension: int) -> wgf.Problem:
    return wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(dimension), until=0.1)


@pytest.mark.parametrize("dimension", [2, 5, 70])
@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (NeuralOdeTable(kind="neural-ode", width=6), wgf.NeuralODE),
        (NeuralOdeTable(kind="neural-ode", width=6, linear=True, steps=5), wgf.NeuralODE),
        (RealNvpTable(kind="real-nvp", layers=3, width=4), wgf.RealNVP),
        (ConvexTable(kind="convex", width=7, seed=2), wgf.ConvexGradient),
    ],
)
def test_tables_say_the_number_of_parameters(dimension, table, kind):
    map = table.build(problem(dimension))
    assert type(map) is kind
    assert map.parameter_count() == table.parameters(dimension)


def test_a_neural_ode_has_a_linear_part_in_few_dimensions():
    for dimension, linear in ((64, True), (65, False)):
        map = NeuralOdeTable(kind="neural-ode", width=3).build(problem(dimension))
        assert (map.velocity.A is not None) is linear


def test_coupling_layers_need_two_coordinates():
    with pytest.raises(wgf.InputError, match="at least 2 coordinates: take a spline"):
        RealNvpTable(kind="real-nvp", layers=2, width=3).build(problem(1))


def test_the_centre_of_coupling_layers_is_that_of_their_fixed_coordinates():
    centre = [3.0, -4.0, 5.0]
    map = wgf.RealNVP(3, 2, 200, centre=centre, spread=0.3)
    for layer in map.parts:
        at = torch.tensor(centre)[layer.fixed]
        distances = (layer.c + layer.W @ at).abs() / layer.W.norm(dim=1)
        assert float(distances.detach().max()) <= 0.3
    with pytest.raises(wgf.InputError, match="has 2 numbers but the dimension is 3"):
        wgf.RealNVP(3, 2, 4, centre=[1.0, 2.0])
