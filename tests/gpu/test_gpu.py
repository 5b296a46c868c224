"""What runs on the CPU runs on a GPU and finds the same: on a pretended one everywhere, on a real
one with `pytest tests/gpu --gpu`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bound import judge_of
from oracles import perturb
from pretended_gpu import pretended_gpu
from stores import assert_same
from torch import nn

from hpc_wgf import Gaussian, Output, consolidate, load_map, save_map, solve
from hpc_wgf.choices import Preconditioning
from hpc_wgf.config import load_problem
from hpc_wgf.maps import (
    Affine,
    AxisSpline,
    BlockFlow,
    Composition,
    ConvexGradient,
    MapState,
    ModuleMap,
    NeuralODE,
    PlanarFlow,
    PushForward,
    RadialBasis,
    RadialFlow,
    RealNVP,
    ResidualPerceptron,
    SoftmaxGates,
    Stage,
)
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.methods.pwgf.solver import MetricSolver
from hpc_wgf.observers import MemoryRecorder
from hpc_wgf.parallel import Communicator, LocalCommunicator
from hpc_wgf.run.loop import Loop
from hpc_wgf.run.schedule import Schedule
from hpc_wgf.store import StoredRun, open_run

# A shift and a tolerance at which η is known to many digits, whatever the order of sums.
KNOWN = (
    "method.samples=300", "method.shift=1e-3", "method.rtol=1e-11", "method.tolerance=none",
    "method.dtype=float64",
)  # fmt: skip


@contextmanager
def real_gpu() -> Iterator[Communicator]:
    yield LocalCommunicator(torch.device("cuda", 0))


@pytest.fixture(params=[pretended_gpu, real_gpu], ids=["pretended", "real"])
def gpu(request):
    """A context that gives a communicator on a GPU."""
    if request.param is real_gpu and not torch.cuda.is_available():
        pytest.skip("needs a GPU and the option --gpu")
    return request.param


MAPS = {
    "planar": lambda: PlanarFlow(2, 5),
    "planar-solved": lambda: PlanarFlow(5, 4),
    "block": lambda: BlockFlow(2, 8),
    "block of many": lambda: BlockFlow(5, 3),
    "perceptron": lambda: ResidualPerceptron(2, (9, 8)),
    "module": lambda: ModuleMap(
        2, nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2)), anchored=True
    ),
    "radial": lambda: Composition(RadialFlow(2, 5), RadialFlow(2, 4, centre=0.5, radius=2.0)),
    "rbf": lambda: RadialBasis(2, 6),
    "softmax": lambda: SoftmaxGates(2, [[0.1, 0.2], [-0.2, 0.1], [0.1, -0.3]], variance=0.05),
    "neural-ode": lambda: NeuralODE(2, 6, steps=4),
    "real-nvp": lambda: RealNVP(2, 2, 5),
    "convex": lambda: ConvexGradient(2, 6),
    "composition": lambda: Composition(Affine(2), BlockFlow(2, 7), PlanarFlow(2, 3)),
}
SETTINGS = {
    "lsmr": ("porous-2d", "method.solver=lsmr"),
    "no preconditioner": ("porous-2d", "method.preconditioner=none"),
    "no preconditioner, lsmr": (
        "porous-2d", "method.preconditioner=none", "method.solver=lsmr",
    ),
    "outputs": ("porous-5d", "method.preconditioner=outputs"),
    "kronecker": ("porous-2d", "method.preconditioner=kronecker"),
    "nystrom": ("porous-2d", "method.preconditioner=nystrom"),
    "rkc2": ("porous-2d", "method.scheme=rkc2"),
    "energy form": ("ou-2d", "method.form=energy"),
    "moments": ("aggregation-2d",),
    "pairs": ("aggregation-log",),
    "pairs and density": ("aggregation-diffusion-2d",),
    "mixture": ("gmm-two-moons",),
    "quantiles": ("styblinski-tang-2d",),
}  # fmt: skip


def short_run(
    communicator: Communicator, name: str, *settings: str, map: PushForward | None = None
):
    """The columns of a short run."""
    problem, own, options = load_problem(name, *KNOWN, *settings)
    memory = MemoryRecorder()
    runner = PWGF.on(problem, map or own, options, communicator, pieces=1)
    begun, length = problem.start_time, 0.4 * options.step_size
    schedule = Schedule(begun, begun + length, length)
    Loop(runner, judge_of(runner), communicator, schedule, [memory]).run()
    return memory.columns()


def assert_same_run(gpu, name: str, *settings: str, map: PushForward | None = None) -> None:
    expected = short_run(LocalCommunicator(), name, *settings, map=map)
    with gpu() as communicator:
        found = short_run(communicator, name, *settings, map=map)
    assert set(found) == set(expected)
    for column in ("energy", "energy_rate_measured", "projection_error_fresh", "map_error"):
        a, b = np.asarray(found[column]), np.asarray(expected[column])
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9 * np.nanmax(np.abs(b), initial=1.0))


@pytest.mark.parametrize("name", MAPS)
def test_a_flow_with_every_map_is_that_of_the_cpu(gpu, name):
    if name == "module" and gpu is pretended_gpu:
        pytest.skip("torch.func wants memory that a pretended GPU has not")
    map = perturb(MAPS[name](), 0.02)
    assert_same_run(gpu, "porous-2d" if map.dimension == 2 else "porous-5d", map=map)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_flow_by_every_way_is_that_of_the_cpu(gpu, name):
    assert_same_run(gpu, *SETTINGS[name])


def test_held_out_samples_end_a_solve_where_they_do_on_the_cpu(gpu):
    """Looked at every ten iterations only, they let a solve go on into the noise."""
    case = "ou-2d", "method.form=energy", "method.validation=1.0"
    expected = short_run(LocalCommunicator(), *case)
    with gpu() as communicator:
        found = short_run(communicator, *case)
    assert found["step_products"].tolist() == expected["step_products"].tolist()


@pytest.mark.parametrize("solver", ["minres", "lsmr"])
def test_the_host_waits_for_an_iteration_only_where_it_looks(solver):
    """MINRES read five numbers one by one at every look."""
    problem, map, options = load_problem(
        "porous-2d", *KNOWN, f"method.solver={solver}", "method.shift=0"
    )
    waits = []
    with pretended_gpu() as communicator:
        runner = PWGF.on(problem, map, options, communicator, pieces=1)
        state = runner.start()
        system = runner.system(state.map, runner.samples(runner.start().map, 0))
        for most in (22, 42):
            plain = replace(options, preconditioner=Preconditioning.NONE, max_products=most)
            before = communicator.reads()
            stats = MetricSolver(runner.setting.map, plain).solve(
                runner.setting.map, system, None, None
            )[1]
            assert stats.products == most
            waits.append(communicator.reads() - before)
    assert waits[1] - waits[0] == 2  # twenty iterations more


def test_a_run_on_a_gpu_is_stored_and_resumed_to_the_bit(gpu, tmp_path):
    problem, map, options = load_problem("ou-2d", "method.samples=100")

    def solved(path: Path, *, until: float, resume: bool = False) -> StoredRun:
        with gpu() as communicator:
            output = Output(path, every=0.05)
            solve(
                problem.replace(until=until), map, options, output,
                communicator=communicator, resume=resume,
            )  # fmt: skip
        return open_run(path)

    whole = solved(tmp_path / "whole", until=0.1)
    solved(tmp_path / "parts", until=0.05)
    assert_same(solved(tmp_path / "parts", until=0.1, resume=True), whole)


def test_a_chain_is_consolidated_as_on_the_cpu(gpu, tmp_path):
    """A chain that was read on the CPU; the file of the map can be read where there is no GPU."""
    first, last = perturb(AxisSpline(2, 6), 0.1), perturb(BlockFlow(2, 4), 0.1)
    chain = MapState((Stage.freeze(first, first.get_theta()),), last, last.get_theta())
    ask = (chain, Gaussian(2), Composition(Affine(2), AxisSpline(2, 9)))
    on_cpu = LocalCommunicator()
    expected = consolidate(*ask, samples=500, max_iterations=4, communicator=on_cpu)
    with gpu() as communicator:
        found = consolidate(*ask, samples=500, max_iterations=4, communicator=communicator)
        assert found.map.get_theta().is_cuda
        save_map(found.map, tmp_path / "map.npz")
    assert found.misfit == pytest.approx(expected.misfit, rel=1e-9)
    theta = load_map(tmp_path / "map.npz").get_theta()
    assert torch.allclose(theta, expected.map.get_theta(), rtol=1e-8, atol=1e-10)


def test_the_pretended_gpu_refuses_what_a_real_one_does():
    with pretended_gpu() as communicator:
        there, here = torch.ones(3, device=communicator.device), torch.ones(3)
        with pytest.raises(RuntimeError, match="on cuda:0 and"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert there.is_cuda
        assert (there + there).device == communicator.device
        assert (there * torch.tensor(2.0)).is_cuda  # a number is welcome on both
        before = communicator.reads()
        assert float(there.sum()) == 3.0
        assert communicator.reads() == before + 1
