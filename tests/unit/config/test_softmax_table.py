"""Tables of softmax maps: centres of the potential, and what cannot be."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import InputError, load_problem
from hpc_wgf.config import load
from hpc_wgf.config.maps import check_size

MIXTURE = 'problem.energy=[{kind="gaussian-mixture", means=[[1, 2], [-1, 0]], variance=0.5},'
SOFTMAX = 'map=[{kind="softmax"}]'


def test_gates_of_a_named_mixture_are_those_of_its_means():
    problem, map, _ = load_problem("gmm-8d", SOFTMAX)
    assert torch.equal(map.target.centres, problem.energy.potential().means)
    assert map.parameter_count() == 8 * (3 * 8 + 2 * 8 + 8 + 1)


def test_centres_are_sought_along_any_other_potential():
    _, map, _ = load_problem(
        "styblinski-tang-2d", 'map=[{kind="affine"}, {kind="softmax", scales=[1.0, 0.1]}]'
    )
    well = sorted(root.real for root in _roots([4.0, 0.0, -32.0, 5.0]))
    gates = map.parts[1]
    expected = torch.tensor([[a, b] for a in (well[0], well[2]) for b in (well[0], well[2])])
    assert torch.allclose(gates.target.centres, expected.double(), atol=1e-5)
    assert len(gates.target.rates) == 2


def _roots(coefficients):
    import numpy as np

    return np.roots(coefficients)


def test_a_quadratic_part_moves_the_modes():
    """Of V + |x|²/2·¼ they are no longer the means, and found as minima."""
    settings = [MIXTURE + '{kind="quadratic", covariance=4.0}, {kind="entropy"}]', SOFTMAX]
    problem, map, _ = load_problem("ou-2d", *settings)
    assert problem.energy.potential().gradient(map.target.centres).abs().max() < 1e-5


def test_what_is_given_is_taken():
    _, map, _ = load_problem(
        "ou-2d", 'map=[{kind="softmax", centres=[[0, 0], [1, 2]], variance=2, scales=[1, 0.5]}]'
    )
    assert map.target.centres.tolist() == [[0, 0], [1, 2]]
    assert map.target.rates.tolist() == [0.5, 0.25]


def test_weights_of_a_mixture_are_those_of_the_gates():
    weighted = MIXTURE.replace("variance=0.5", "variance=0.5, weights=[1, 3]")
    for map, expected in (
        (SOFTMAX, [1.0, 3.0]),
        ('map=[{kind="softmax", weights=[3, 1]}]', [3.0, 1.0]),
        ('map=[{kind="softmax", centres=[[0, 0], [1, 2]]}]', [1.0, 1.0]),
    ):
        _, made, _ = load_problem("ou-2d", weighted + '{kind="entropy"}]', map)
        assert torch.allclose(
            made.target.log_weights.softmax(0), torch.tensor(expected).double() / sum(expected)
        )


def test_gates_of_clusters_alone_are_for_flows_without_a_potential():
    _, map, _ = load_problem("heat-merging-2d")
    assert map.target is None
    assert map.parameter_count() == 2 * (2 * 7 + 2 + 1)
    _, map, _ = load_problem("gmm-8d", 'map=[{kind="softmax", present=5}]')
    assert map.parameter_count() == 8 * (3 * 8 + 2 * 4 + 8 + 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([SOFTMAX], "at least two centres, all different, got 1"),
        (['map=[{kind="softmax", present=1, centres=[[0, 0], [1, 2]]}]'], "at least two of them"),
        (['map=[{kind="softmax", weights=[1], centres=[[0, 0], [1, 2]]}]'], "as many positive wei"),
        (['map=[{kind="softmax", centres=[[0, 0, 1], [1, 2, 3]]}]'], "points with 2 coordinates"),
        (['map=[{kind="softmax", centres=[[1, 2], [1]], variance=1}]'], "form no table of numbers"),
        ([SOFTMAX, 'problem.energy=[{kind="entropy"}]'], "there is none: give centres and"),
        ([SOFTMAX, 'problem.energy=[{kind="styblinski-tang"}]'], "entropy of beta > 0"),
        ([SOFTMAX, "problem.dimension=16", 'problem.energy=[{kind="styblinski-tang"},'
          '{kind="entropy"}]', "problem.start.mean=0", "problem.start.covariance=4"],
         "too many to be found"),
    ],
)  # fmt: skip
def test_what_has_no_gates_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        load_problem("ou-2d", *settings)


def test_wrong_values_are_named():
    for setting, message in (
        ('map=[{kind="softmax", variance=0}]', "map.0.variance = 0: expected more than 0"),
        ('map=[{kind="softmax", scales=[]}]', "map.0.scales"),
        ('map=[{kind="softmax", centres=[1, 2]}]', "map.0.centres"),
        ('map=[{kind="softmax", centres=[[1, 2]]}]', "map.0.centres"),
        ('map=[{kind="softmax", centers=[[0, 0]]}]', "did you mean 'centres'"),
    ):
        with pytest.raises(InputError, match=message):
            load("ou-2d", [setting])


def test_their_size_is_told_before_they_are_made():
    tables = load("gmm-8d", ['map=[{kind="softmax", centres=[[0,0,0,0,0,0,0,0],'
                             '[1,0,0,0,0,0,0,0],[2,0,0,0,0,0,0,0]]}]']).map  # fmt: skip
    assert tables[0].parameters(8) == 8 * (3 * 2 + 2 * 2 + 8 + 1)
    check_size(tables, 8, 8)
