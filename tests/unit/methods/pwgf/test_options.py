"""Options in Python and tables of run files are one thing: same defaults, same words."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
from dataclasses import FrozenInstanceError, is_dataclass, replace
from importlib import import_module

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf import InputError, Output, PWGFOptions, interactions, maps, problems
from hpc_wgf.choices import Form, Precision
from hpc_wgf.config import TABLES, load, methods, parse
from hpc_wgf.maps.features import initial_features
from hpc_wgf.problems import matrices


def test_options_are_the_table_of_a_run_file():
    run_file = load("ou-2d")
    assert isinstance(run_file.method, PWGFOptions)
    assert isinstance(run_file.output, Output)
    tables = {key: run_file.model_dump(mode="json")[key] for key in ("problem", "map")}
    assert parse(tables).method == PWGFOptions()
    assert parse(tables).output == Output()


def test_options_by_position_by_name_and_replaced():
    options = PWGFOptions(100, 1e-3, "rk4", 0.1)
    assert (options.samples, options.rtol, options.scheme, options.step_size) == (
        100, 1e-3, "rk4", 0.1
    )  # fmt: skip
    assert PWGFOptions(step=0.1, form="energy") == PWGFOptions(step_size=0.1, form=Form.ENERGY)
    assert replace(options, samples=200).samples == 200
    assert options.samples == 100
    assert pickle.loads(pickle.dumps(options)) == options
    assert Output("run.zarr", 0.1) == Output(path="run.zarr", every=0.1)
    with pytest.raises(FrozenInstanceError):
        options.samples = 3


@pytest.mark.parametrize("value", [np.int64(7), 7.0, np.float64(7)])
def test_counts_are_whole_numbers_of_any_type(value):
    samples = PWGFOptions(samples=value).samples
    assert (samples, type(samples)) == (7, int)


def test_dtype_is_torchs_or_its_name():
    single = PWGFOptions(dtype=torch.float32)
    assert single == PWGFOptions(dtype="float32")
    assert single.dtype is Precision.FLOAT32
    assert single.torch_dtype is torch.float32
    assert PWGFOptions().torch_dtype is torch.float64


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("samples", 0, "samples = 0: expected at least 1"),
        ("samples", True, "samples = true: expected a whole number"),
        ("samples", 1.5, "samples = 1.5: expected a whole number"),
        ("rtol", 1, "rtol = 1: expected less than 1"),
        ("step_size", -1, "step_size = -1: expected more than 0"),
        ("tf32", 1, "tf32 = 1: expected true or false"),
        ("scheme", "leapfrog", "scheme = 'leapfrog': expected one of euler, heun"),
        ("solver", "cg", "solver = 'cg': expected one of 'automatic', 'direct', 'minres', 'lsmr'"),
        ("dtype", "float16", "dtype = 'float16': expected one of 'float64', 'float32'"),
        ("tolerance", "x", "tolerance = 'x': expected a number"),
        ("kind", "other", "kind"),
        ("rtol", 1e-17, "rtol = 1e-17 is below what torch.float64 can resolve"),
    ],
)
def test_wrong_options_are_told_in_the_same_words_here_and_there(key, value, message):
    with pytest.raises(InputError) as here:
        PWGFOptions(**{key: value})
    assert str(here.value).startswith(message)
    with pytest.raises(InputError) as there:
        parse({**load("ou-2d").model_dump(mode="json"), "method": {key: value}})
    if key != "kind":
        assert message.removeprefix("step_size").removeprefix("step") in str(there.value)


def test_several_wrong_options_are_a_line_each():
    with pytest.raises(InputError) as caught:
        PWGFOptions(samples=0, rtol="x")
    assert str(caught.value).splitlines() == [
        "samples = 0: expected at least 1", "rtol = 'x': expected a number",
    ]  # fmt: skip
    with pytest.raises(InputError, match="step_size is given twice"):
        PWGFOptions(step=0.1, step_size=0.2)
    with pytest.raises(InputError, match="unknown option 'sampels', did you mean 'samples'"):
        PWGFOptions(sampels=3)


@pytest.mark.parametrize("options", [{"every": 0.0}, {"particles": 0}, {"shards": 1.5}])
def test_wrong_outputs_are_refused(options):
    (key,) = options
    with pytest.raises(InputError, match=f"^{key} = .*: expected "):
        Output(**options)


def test_the_kind_of_a_method_is_said_or_not():
    assert load("ou-2d", ["method.kind=pwgf"]) == load("ou-2d")
    with pytest.raises(InputError, match="method.kind: unknown kind 'pwfg', did you mean 'pwgf'"):
        load("ou-2d", ["method.kind=pwfg"])


def test_another_method_is_a_line_of_one_table(monkeypatch):
    from pydantic.dataclasses import dataclass

    from hpc_wgf.config import RunFile
    from hpc_wgf.fields import OPTIONS, plain_errors

    @plain_errors
    @dataclass(frozen=True, config=OPTIONS)
    class FlatOptions:
        rate: float = 1.0
        kind: str = "flat"

    monkeypatch.setitem(methods.METHODS, "flat", FlatOptions)
    try:
        RunFile.model_rebuild(force=True)
        assert load("ou-2d").method.kind == "pwgf"
        flat = {**load("ou-2d").model_dump(mode="json"), "method": {"kind": "flat", "rate": 2.0}}
        assert parse(flat).method == FlatOptions(2.0)
        with pytest.raises(InputError, match="unknown key 'rate'.*an option of kind = 'flat'"):
            load("ou-2d", ["method.rate=3"])
    finally:
        monkeypatch.undo()
        RunFile.model_rebuild(force=True)


_FEATURES = (maps.PlanarFlow, maps.BlockFlow, maps.ResidualPerceptron)
_OTHER = {"problem.energy.random-quadratic": matrices.random_spd}
_ROOMS = [
    import_module(found.name)
    for package in (problems, interactions, maps)
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]


def constructor_of(place):
    """What a table builds: itself, or the class that its `build` says."""
    table = TABLES[place]
    if place in _OTHER or is_dataclass(table):
        return _OTHER.get(place, table)
    name = table.build.__annotations__["return"]
    return next(getattr(room, name) for room in _ROOMS if hasattr(room, name))


def _parameters(constructor) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(constructor).parameters)
    if constructor in _FEATURES:
        found |= inspect.signature(initial_features).parameters
    return found


@pytest.mark.parametrize("place", TABLES)
def test_defaults_of_tables_are_those_of_constructors(place):
    """Where both have a default it is the same, and what the constructor can do without, so can
    the table. (A matrix of given eigenvalues has none, and a mixture no unit variance.)"""
    parameters = _parameters(constructor_of(place))
    for name, field in TABLES[place].__pydantic_fields__.items():
        parameter = parameters.get(name)
        if parameter is None or parameter.default is parameter.empty:
            continue
        assert not field.is_required(), name
        if name != "start":  # of the table gaussian, of the constructor any
            assert field.get_default(call_default_factory=True) == parameter.default, name


@pytest.mark.parametrize("growth", [1.1, 3.0])
def test_steps_grow_by_no_more_than_the_option_says(growth):
    """After a step without any error the next one may be as much longer, and no more."""
    controller = wgf.PWGFOptions(tolerance=1e-2, growth=growth).controller(1.0)
    assert controller.judge(0.0, 1.0, 0.0).factor == growth
