"""Run files: every named problem loads, and what is wrong is named with the way to mend it."""

from __future__ import annotations

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.config import build, catalogue, load, parse
from hpc_wgf.config.imports import load_object

NAMES = [
    "aggregation-2d", "aggregation-2d-paper", "aggregation-diffusion-2d", "aggregation-log",
    "aggregation-ring-2d",
    "anisotropic-gauss", "double-well-1d", "double-well-2d", "fp-four-10d", "fp-two-to-four-2d",
    "gmm-13d", "gmm-8d", "gmm-two-moons", "heat-4d", "heat-merging-1d", "heat-merging-2d",
    "kalman-elliptic", "kalman-elliptic-near", "kalman-gauss", "keller-segel-2d", "linear-drift-5d",
    "mobility-fermi", "mobility-fermi-1d", "mobility-nonlocal", "mog-10d", "moons-by-samples",
    "moving-trap", "ou-10d", "ou-10d-planar", "ou-2d", "ou-2d-aniso", "ou-scaling", "periodic-2d",
    "porous-15d", "porous-15d-paper", "porous-2d", "porous-2d-paper", "porous-5d", "porous-box-1d",
    "porous-5d-paper", "porous-confined", "porous-deep-10d", "porous-deep-2d", "porous-deep-6d",
    "porous-mixture-10d",
    "porous-mixture-10d-paper", "porous-uniform-5d", "porous-uniform-5d-paper", "rosenbrock-10d",
    "stiff-2d", "styblinski-tang-2d", "styblinski-tang-2d-cold", "styblinski-tang-2d-hot",
    "styblinski-tang-2d-long", "styblinski-tang-30d", "styblinski-tang-30d-long",
]  # fmt: skip


def test_all_named_problems_are_there():
    assert catalogue.names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_named_problems_build_and_are_sound_at_the_start(name):
    import numpy as np

    run_file = load(name)
    assert run_file.problem.name == name
    problem, map, _ = build(run_file)
    problem.check(problem.start.sample(np.random.default_rng(0), 50))
    map = map.double()
    z = torch.randn(5, problem.dimension)
    assert torch.equal(map(z), z)


def test_a_dumped_run_file_is_the_same_run_file():
    """What the store keeps is enough to resume."""
    for name in NAMES:
        run_file = load(name)
        assert parse(run_file.model_dump(mode="json")) == run_file


@pytest.mark.parametrize("dimension", [2, 6, 12, 16, 32])
def test_ou_scaling_in_all_dimensions(dimension):
    run_file = load("ou-scaling", [f"problem.dimension={dimension}"])
    potential = run_file.problem.build().energy.potential()
    assert potential.precision.shape == (dimension, dimension)
    values = torch.linalg.eigvalsh(potential.precision)
    assert float(values[0]) >= 0.5
    assert float(values[-1]) <= 2.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("method.sampels=3", "method.sampels: unknown key 'sampels', did you mean 'samples'"),
        ("problme.until=3", "problme: unknown key 'problme', did you mean 'problem'"),
        ("method.samples=many", "method.samples = 'many': expected a whole number"),
        ("method.samples=true", "method.samples = true: expected a whole number"),
        ('method.samples="400"', "method.samples = '400': expected a whole number"),
        ("problem.until=inf", "problem.until = inf: expected a finite number"),
        (
            'problem.start={kind="mixture", components=[{maen=1}]}',
            "problem.start.components.0.maen: unknown key 'maen', did you mean 'mean'",
        ),
        ("problem.energy.0.mean.x=1", "mean is a value, not a table"),
        ("method.samples=0", "method.samples = 0: expected at least 1"),
        ("method.dtype=float16", "method.dtype = 'float16': expected one of 'float64', 'float32'"),
        ("map.0.kind=afine", "map.0.kind: unknown kind 'afine', did you mean 'affine'"),
        ("map.1.widht=3", "map.1.widht: unknown key 'widht', did you mean 'width'"),
        ("problem.energy.1.bta=1", "problem.energy.1.bta: unknown key 'bta', did you mean 'beta'"),
        ("problem.start.kind=bax", "problem.start.kind: unknown kind 'bax', did you mean 'box'"),
        (
            'problem.start={kind="mixture", components=[{kind="box", rampe=1}]}',
            "problem.start.components.0.rampe: unknown key 'rampe', did you mean 'ramp'",
        ),
        (
            'problem.energy.0={kind="interaction", kernel={kind="powerlaw"}}',
            "problem.energy.0.kernel.kind: unknown kind 'powerlaw', did you mean 'power-law'",
        ),
        (
            'problem.energy.0={kind="interaction", kernel={kind="power-law", c=1}}',
            "problem.energy.0.kernel.c: unknown key 'c'",
        ),
        ("method.tolerance=0", "method.tolerance"),
        ("problem.start.maen=0", "problem.start.maen: unknown key 'maen', did you mean 'mean'"),
        ("map=[]", "map = "),
        ("map.7.width=3", "'7' does not number one of 2 entries"),
        ("problem.until", "not of the form a.b=value"),
        ("problem.name=../mine", "problem.name = '../mine': expected a name without slashes"),
        ("problem.until.x=1", "until is a value, not a table"),
    ],
)
def test_wrong_settings_are_named(setting, message):
    with pytest.raises(InputError) as caught:
        load("ou-2d", [setting])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("problem.energy.1.beta=-1", "beta must not be negative, got -1"),
        ("problem.start.covariance=[[1, 2], [2, 1]]", "not positive definite"),
        ("problem.start.mean=[1, 2, 3]", r"shape \(3,\) but the dimension is 2"),
        ("problem.energy.0.covariance=[1, 1, 1]", "but the dimension is 2"),
        ("problem.until=-1", "raise problem.until"),
        ('problem.energy.0={kind="user", function="nowhere:V"}', "cannot import 'nowhere'"),
        (
            'problem.energy.0={kind="gaussian-mixture", means=[[1, 2, 3]]}',
            "mean 0 has 3 entries but the dimension is 2",
        ),
        ('problem.energy.0={kind="internal", m=1.0}', "above 1, got m = 1"),
        (
            'problem.energy.0={kind="interaction", self_pairs=true, '
            'kernel={kind="power-law", a=2, b=0}}',
            "singular at 0",
        ),
        (
            'problem.energy.0={kind="interaction", kernel={kind="user-kernel", function="no:J"}}',
            "cannot import 'no' for a kernel",
        ),
        (
            'problem.energy.0={kind="interaction", kernel={kind="power-law", a=2, b=-2}}',
            "infinite in dimension 2",
        ),
        ('problem.start={kind="box", low=1.0}', "low < high"),
        ('problem.start={kind="barenblatt", m=0.5}', "m above 1"),
        (
            'problem.energy.0={kind="random-quadratic", smallest=3, largest=1}',
            "largest = 1.0 is below smallest",
        ),
    ],
)
def test_wrong_problems_are_named(setting, message):
    with pytest.raises(InputError, match=message):
        load("ou-2d", [setting]).problem.build()


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="did you mean 'ou-10d'"):
        load("ou10d")


def test_run_files_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('base = "ou-2d"\n[problem]\nuntil = 0.3\n[method]\nsamples = 50\n')
    run_file = load(str(file), ["method.rtol=1e-3"])
    assert (run_file.problem.until, run_file.method.samples) == (0.3, 50)
    assert run_file.method.rtol == 1e-3
    assert run_file.problem.energy == load("ou-2d").problem.energy
    file.write_text(
        'base = "ou-2d"\n[problem.start]\nkind = "mixture"\ncomponents = [{mean = 1.0}]\n'
    )
    assert load(str(file)).problem.start.kind == "mixture"
    file.write_text("problem = [")
    with pytest.raises(InputError, match="not valid TOML"):
        load(str(file))
    with pytest.raises(InputError, match="cannot read the run file"):
        load(str(tmp_path / "none.toml"))


def test_text_of_a_named_problem_is_its_run_file(tmp_path):
    file = tmp_path / "copy.toml"
    file.write_text(catalogue.text("gmm-8d"))
    assert load(str(file)) == load("gmm-8d")


def test_potentials_of_a_run_file_add_up():
    """Two potentials become one sum; factors multiply, and are not applied twice."""
    settings = [
        'problem.energy=[{kind="styblinski-tang", factor=0.5}, {kind="quadratic", factor=2.0}, '
        '{kind="entropy", beta=0.3}]'
    ]
    problem = load("ou-2d", settings).problem.build()
    x = torch.tensor([[1.0, 2.0]])
    expected = 0.5 * ((1 - 16 + 5) + (16 - 64 + 10)) + 2.0 * 0.5 * 5.0
    assert float(problem.energy.potential()(x)) == pytest.approx(expected)
    assert problem.energy.beta() == 0.3
    assert problem.exact is not None


def test_every_kernel_and_start_of_a_run_file_is_built():
    settings = [
        'problem.energy=[{kind="interaction", factor=2.0, route="pairs", self_pairs=false, '
        'batch=8, kernel={kind="user-kernel", function="user_objects:kernel"}}, '
        '{kind="interaction", kernel={kind="gaussian-kernel", amplitude=0.5, width=2.0}}, '
        '{kind="internal", m=1.5, '
        "factor=0.2}]",
        'problem.start={kind="mixture", weights=[1, 2, 3, 4], components=[{mean=1.0}, {kind="box", '
        'ramp=0.5}, {kind="barenblatt", m=2.0, time=0.1}, {kind="paraboloid", radius=2.0}]}',
    ]
    problem = load("ou-2d", settings).problem.build()
    user, gaussian, internal = problem.energy.parts
    assert (user.factor, user.route, user.self_pairs, user.batch) == (2.0, "pairs", False, 8)
    assert (gaussian.kernel.amplitude, gaussian.kernel.width) == (0.5, 2.0)
    assert (internal.m, internal.factor) == (1.5, 0.2)
    kinds = [type(part).__name__ for part in problem.start.components]
    assert kinds == ["Gaussian", "Box", "Barenblatt", "Paraboloid"]


def test_a_tolerance_can_be_taken_away():
    assert load("porous-2d").method.tolerance is not None
    assert load("porous-2d-paper").method.tolerance is None


def test_features_lie_about_their_centre():
    """The map about a centre is the map about the origin of the shifted samples."""
    maps = [
        build(load("ou-2d", [f'map=[{{kind="block", width=6, centre={c}}}]'])).map.double()
        for c in ("0.0", "[1.5, -2.0]")
    ]
    z, shift = torch.randn(7, 2), torch.tensor([1.5, -2.0])
    for map in maps:
        map.U.data.fill_(0.3)
    moved = [maps[0](z) - z, maps[1](z + shift) - z - shift]
    assert torch.allclose(*moved, atol=1e-6)
    with pytest.raises(InputError, match=r"centre of the features has shape \(3,\)"):
        build(load("ou-2d", ['map=[{kind="block", width=6, centre=[1, 2, 3]}]']))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("math", "module:name"),
        ("no_such_module:V", "cannot import"),
        ("math:no_such_name", "has no 'no_such_name'"),
    ],
)
def test_import_paths_are_checked(path, message):
    with pytest.raises(InputError, match=message):
        load_object(path, "a potential")
