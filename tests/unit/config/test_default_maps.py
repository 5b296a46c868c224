"""The map of a run file without `[[map]]`."""

from __future__ import annotations

import json

import pytest
from processes import here

import hpc_wgf as wgf
from hpc_wgf.config import default_map
from hpc_wgf.maps import kinds_of
from hpc_wgf.problems import Potential


def chosen(name, *settings):
    return kinds_of(default_map(wgf.load_problem(name, *settings).problem))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ou-2d", "scaling"),
        ("ou-2d-aniso", "scaling"),
        ("ou-10d", "affine"),
        ("porous-5d", "scaling"),
        ("heat-merging-1d", "spline"),
        ("styblinski-tang-30d", "spline"),
        ("double-well-2d", "spline"),
        ("aggregation-log", "spline"),
        ("porous-mixture-10d", "2 × radial"),
        ("porous-uniform-5d", "radial + spline"),
        ("gmm-two-moons", "softmax"),
        ("rosenbrock-10d", "affine + block"),
        ("aggregation-2d", "affine + block"),
    ],
)
def test_it_follows_from_the_problem(name, kinds):
    assert chosen(name) == kinds


def test_radial_layers_whose_components_meet_are_refused_and_not_chosen():
    near = "problem.start.components=[{mean=0.0, covariance=0.1}, {mean=0.3, covariance=0.2}]"
    assert chosen("porous-mixture-10d", near) == "affine + block"
    with pytest.raises(wgf.InputError, match=r"map\.1: the centre .* within the radius of map\.0"):
        wgf.load_problem("porous-mixture-10d", near, "map.1.centre=0.3")
    nested = wgf.load_problem("porous-mixture-10d", "map.1.centre=0.0")  # about one centre
    assert kinds_of(nested.map) == "2 × radial"


def test_modes_of_an_unknown_potential_are_sought():
    """Two wells along the diagonal of the plane: no coordinate moves alone."""

    class Wells(Potential):
        def __call__(self, x):
            along, across = x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]
            return (along.square() - 4).square() / 8 + across.square()

    start = wgf.Gaussian(2, 0.0, 2.0)
    energy = [wgf.PotentialEnergy(Wells()), wgf.Entropy(1.0)]
    map = default_map(wgf.Problem(energy, start, until=1.0))
    assert kinds_of(map) == "softmax"
    assert sorted(map.target.centres.sum(1).tolist()) == pytest.approx([-2.0, 2.0], abs=1e-3)


def test_a_run_file_without_a_map_is_solved_told_and_resumed(tmp_path):
    file = tmp_path / "wells.toml"
    file.write_text(
        """
        [problem]
        name = "wells"
        dimension = 1
        until = 0.1
        [[problem.energy]]
        kind = "double-well"
        [[problem.energy]]
        kind = "entropy"
        beta = 1.0
        [method]
        samples = 500
        step = 0.002
        tolerance = 0.05
        [output]
        every = 0.05
        """
    )
    store = tmp_path / "wells.zarr"
    done = here("run", file, "--out", store)
    assert done.returncode == 0, done.stderr
    assert "20 parameters of spline, chosen from the problem" in done.stdout
    found = json.loads(here("report", store, "--json").stdout)
    assert (found["map"], found["map_chosen"]) == ("spline", True)
    done = here("resume", store, "--until", "0.15")
    assert done.returncode == 0, done.stderr
    assert wgf.open_run(store).column("time")[-1] == 0.15
    other = here("run", file, "--set", 'map=[{kind="affine"}]', "--out", tmp_path / "other.zarr")
    assert "chosen" not in other.stdout
