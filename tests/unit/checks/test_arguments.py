"""Arguments of another kind than is expected: an error says what was given and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hpc_wgf as wgf
from hpc_wgf.maps import MapState

START = wgf.Gaussian(2)
PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0)), wgf.Entropy(1.0)], START, until=0.02
)
METHOD = wgf.PWGFOptions(samples=100, step_size=0.01)
MAP = wgf.Affine(2)


def solve(problem=PROBLEM, map=MAP, method=METHOD, output=None, **others):
    return wgf.solve(problem, map, method, output, **others)


class Nothing:
    pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": "ou-2d"}, r"give what it describes, solve\(\*load_problem\('ou-2d'\)\)"),
        ({"problem": (PROBLEM, MAP)}, r"a tuple\) is no problem: .* solve\(\*spec\)"),
        ({"problem": None}, "is no problem: give Problem"),
        ({"problem": wgf.Problem}, r"the class Problem was given as problem: .* Problem\(…\)"),
        ({"map": nn.Linear(2, 2)}, r"a Linear\) is no push-forward map: wrap it as ModuleMap"),
        ({"map": [MAP, MAP]}, r"a list\) is no push-forward map: .* Composition\(first"),
        ({"map": wgf.Affine}, "the class Affine was given as push-forward map"),
        ({"method": {"samples": 10}}, r"a dict\) is no options .* PWGFOptions\(\*\*options\)"),
        ({"method": {}}, "is no options of a method"),
        ({"method": wgf.PWGFOptions}, "the class PWGFOptions was given as options of a method"),
        ({"output": 3}, "is no output: give Output"),
        ({"output": {"every": 1}}, "is no output: give Output"),
        ({"output": wgf.Output}, "the class Output was given as output"),
        ({"communicator": "gloo"}, "'gloo' .* is no communicator, it has no rank: leave it out"),
        ({"observers": Nothing()}, r"is no list of observers: write observers=\[…\]"),
        ({"observers": [Nothing()]}, "is no observer, it has no on_row: it needs on_row, on_step"),
        ({"observers": [Nothing]}, "the class Nothing was given as observer"),
        ({"stages": Nothing()}, "is no rule of stages, it has no ends"),
        ({"stop": True}, "was given as stop: expected a function"),
        ({"resume": "run.zarr"}, "was given as resume: expected True or False"),
        ({"configuration": [1]}, "is no configuration: expected a mapping"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_solve_says_what_it_was_given(arguments, message):
    with pytest.raises(wgf.InputError, match=message) as refused:
        solve(**arguments)
    assert "\n" not in str(refused.value)


NORMAL = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: wgf.Problem(wgf.Entropy(), NORMAL, 1.0), r"MultivariateN.* give Gaussian\(dimens"),
        (
            lambda: wgf.Problem(wgf.Entropy(), wgf.Gaussian, 1.0),
            "class Gaussian was given as start",
        ),
        (lambda: wgf.Problem(wgf.Entropy(), None, 1.0), "None .* is no start density"),
        (lambda: wgf.Problem(wgf.Entropy, START, 1.0), "class Entropy was given as part of an en"),
        (lambda: wgf.Problem([wgf.Entropy], START, 1.0), "class Entropy was given as part of an"),
        (lambda: wgf.Problem([lambda x: x], START, 1.0), "a function.* is no part of an energy"),
        (lambda: wgf.Problem(None, START, 1.0), "None .* is no part of an energy"),
        (lambda: wgf.Problem("entropy", START, 1.0), "is no part of an energy"),
        (
            lambda: wgf.Problem(wgf.Entropy(), START, "1"),
            "'1' .* as the end of the run: expected a",
        ),
        (lambda: wgf.Entropy("1"), "'1' .* as the diffusion coefficient beta: expected a number"),
        (lambda: wgf.InternalEnergy(None), "None .* as the exponent m .*: expected a number"),
        (lambda: wgf.PotentialEnergy(lambda x: x), r"is no potential, .* UserPotential\(function"),
        (lambda: wgf.PotentialEnergy(wgf.Quadratic), "the class Quadratic was given as potential"),
        (lambda: wgf.PotentialEnergy(nn.Linear(2, 1)), "a Linear.* is no potential"),
        (lambda: wgf.Quadratic(2) + (lambda x: x), r"is no potential, .* UserPotential\(function"),
        (lambda: wgf.Mixture(START), r"is no list of densities: write Mixture\(\[…\]\)"),
        (lambda: wgf.Mixture([wgf.Gaussian]), "the class Gaussian was given as density"),
        (lambda: wgf.Composition([MAP]), "a list.* is no push-forward map: give maps one by one"),
        (lambda: wgf.Composition(MAP, nn.Linear(2, 2)), r"a Linear.* ModuleMap\(d, module\)"),
        (lambda: wgf.Composition(wgf.Affine), "the class Affine was given as push-forward map"),
        (lambda: wgf.ModuleMap(nn.Linear(2, 2), 2), "a Linear.* as the dimension of a map"),
        (lambda: wgf.Affine(2.5), "2.5 .* as the dimension of a map: expected a whole number"),
    ],
)
def test_what_is_built_says_what_it_was_given(made, message):
    with pytest.raises(wgf.InputError, match=message) as refused:
        made()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_alone_is_an_output(kind, tmp_path):
    run = solve(output=kind(tmp_path / "run"))
    assert run.path == tmp_path / "run"
    assert wgf.open_run(tmp_path / "run").rows == 11


def test_the_map_of_a_solution_pushes_samples_of_any_precision():
    run = solve(method=wgf.PWGFOptions(samples=100, step_size=0.01, dtype="float32"))
    z = torch.randn(5, 2, dtype=torch.float64)
    assert isinstance(run.state, MapState)
    assert torch.equal(run.state(z), run.map(z.float()).detach())
    with pytest.raises(wgf.InputError, match="not the identity .* The map of a solution is none"):
        solve(map=run.map)
