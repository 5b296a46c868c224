"""What a step costs a GPU beside its arithmetic: kernels, copies from the host, its looks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from bound import judge_of
from pretended_gpu import Counts, pretended_gpu

from hpc_wgf.choices import Preconditioning
from hpc_wgf.config import load_problem
from hpc_wgf.ensemble import Sampler, sampler
from hpc_wgf.krylov import Iteration
from hpc_wgf.maps.factors import Factors
from hpc_wgf.methods.pwgf import PWGF
from hpc_wgf.methods.pwgf.solver import MetricSolver

pytest.importorskip("triton")
CHUNKS = 16
ASKED = ("method.dtype=float64", "method.scheme=heun", "method.preconditioner=none")


@pytest.fixture(scope="module")
def second_step() -> tuple[dict[str, Counts], Counter]:
    """Counts of the second step of a run in 16 chunks, of its draws and of all the rest, and its
    products."""
    problem, map, options = load_problem(
        "porous-2d", "method.samples=1024", "method.block=16", *ASKED
    )
    drawn, draw = [], Sampler.draw
    with pretended_gpu() as communicator, patch.object(sampler, "_GPU_CHUNK", 1024 // CHUNKS):

        def counted(*args, **kwargs):
            before = communicator.counts()
            found = draw(*args, **kwargs)
            drawn.append(communicator.counts() - before)
            return found

        runner = PWGF.on(problem, map, options, communicator)
        state = runner.enter(runner.start())
        for _ in range(2):
            with patch.object(Sampler, "draw", counted):
                drawn.clear()
                before = communicator.counts()
                trial = runner.advance(state, state.step_size)
                state = replace(
                    state, time=state.time + state.step_size, map=trial.map, step=state.step + 1,
                    memory=trial.memory, entered=None,
                )  # fmt: skip
                state = runner.enter(state)
                whole = communicator.counts() - before
        assert len(runner.samples(state.map, 0).chunks) == CHUNKS
        ensemble = runner.samples(state.map, state.step)
        before = communicator.counts()
        system = runner.system(state.map, ensemble)
        assembled = communicator.counts() - before
        assert len(system.gram.chunks) == CHUNKS
    products = {
        "advance": int(trial.figures["products"]) - int(trial.figures["solves"]),
        "enter": state.entered.products,
    }
    parts = {"draws": drawn[0], "rest": whole - drawn[0], "assembly": assembled}
    return parts, Counter(products)


def test_a_step_copies_nothing_from_the_host_but_its_samples(second_step):
    parts, _ = second_step
    assert parts["draws"].uploads <= CHUNKS
    assert parts["rest"].uploads == 0
    assert parts["rest"].captures == 0


def test_an_affine_map_is_factored_once_for_all_chunks():
    """The map of the first step is affine and a block: only the block's is factored chunk by
    chunk."""
    problem, map, options = load_problem("porous-2d", "method.samples=1024", *ASKED)
    factored: list[int] = []
    of = Factors.of.__func__

    def counted(cls, matrices):
        factored.append(matrices.ndim)
        return of(cls, matrices)

    with pretended_gpu() as communicator, patch.object(sampler, "_GPU_CHUNK", 1024 // CHUNKS):
        runner = PWGF.on(problem, map, options, communicator)
        start = runner.start()
        ensemble = runner.samples(start.map, 0)
        with patch.object(Factors, "of", classmethod(counted)):
            pushed = ensemble.push(start.map.active(), density=True, score=True)
    assert len(pushed) == CHUNKS
    assert (factored.count(2), factored.count(3)) == (1, CHUNKS)


@pytest.mark.parametrize("name", ["porous-2d", "ou-10d", "gmm-8d", "porous-mixture-10d"])
def test_samples_of_the_philox_stream_are_made_where_they_are_wanted(name):
    """From the second step on nothing is copied from the host, and it does not look."""
    problem, map, options = load_problem(
        name, "method.samples=1024", "method.block=16", "method.stream=philox",
        "method.sampling=random", "method.redraw=step",
    )  # fmt: skip
    with pretended_gpu() as communicator, patch.object(sampler, "_GPU_CHUNK", 1024 // CHUNKS):
        runner = PWGF.on(problem, map, options, communicator)
        start = runner.start()
        assert len(runner.samples(start.map, 0).chunks) == CHUNKS
        before = communicator.counts()
        runner.samples(start.map, 1)
        drawn = communicator.counts() - before
    assert drawn.kernels > 0
    assert (drawn.uploads, drawn.reads) == (0, 0)


def test_the_host_looks_six_times_a_step_beside_the_iterations(second_step):
    """At every tenth iteration of a plain solve; for each of two systems at its sums and at its
    residual, at the diagnostics, and at the error of the step."""
    parts, products = second_step
    looks = sum(products.values()) // 10 + 2
    assert parts["rest"].reads <= looks + 6
    assert parts["draws"].reads == 0


def test_a_preconditioned_solve_is_looked_at_once_an_iteration():
    problem, map, options = load_problem("porous-2d", "method.samples=200", *ASKED)
    options = replace(options, preconditioner=Preconditioning.KRONECKER, rtol=1e-6)
    with pretended_gpu() as communicator:
        runner = PWGF.on(problem, map, options, communicator, pieces=1)
        start = runner.start()
        system = runner.system(start.map, runner.samples(start.map, 0))
        solver = MetricSolver(map, options)
        first = solver.solve(runner.setting.map, system, None, None)
        before = communicator.counts()
        stats = solver.iterate(runner.setting.map, system, first.memory, rtol=1e-6)[1]
        counts = communicator.counts() - before
    assert stats.products > 5
    assert counts.reads == stats.products  # one an iteration, and one at the true residual
    assert counts.uploads == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_iteration_has_few_kernels_beside_product_and_preconditioner(dtype):
    """They were 97."""
    problem, map, options = load_problem(
        "porous-2d", "method.samples=200", f"method.dtype={dtype}", "method.shift=1e-3"
    )
    with pretended_gpu() as communicator:
        runner = PWGF.on(problem, map, options, communicator, pieces=1)
        start = runner.start()
        system = runner.system(start.map, runner.samples(start.map, 0))

        def kernels(call) -> int:
            before = communicator.counts()
            call()
            return (communicator.counts() - before).kernels

        diagonal = torch.full_like(system.b, 2.0)
        iteration = Iteration(system.gram, system.b, lambda v: v / diagonal)
        iteration.begin(system.b, 1e-3)
        iteration.advance()
        own = kernels(iteration.advance) - kernels(lambda: system.gram.matvec(system.b)) - 1
    assert own <= 16


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_measurement_has_few_kernels_with_the_default_shards(dtype):
    """They were 1641 where each of 16 shards was measured alone."""
    problem, map, options = load_problem(
        "porous-2d", "method.samples=4000", *ASKED, f"method.dtype={dtype}"
    )
    with pretended_gpu() as communicator:
        runner = PWGF.on(problem, map, options, communicator)
        judge, start = judge_of(runner), runner.start()
        before = communicator.counts()
        judge.look(start.map, torch.ones_like(start.theta))
        counts = communicator.counts() - before
    assert counts.kernels <= 150
    assert counts.reads == 1
    assert counts.uploads == 0
