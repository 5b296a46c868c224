"""All solves of a run replay one recorded iteration, and find the same bits as without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from every_map import MAPS, D
from oracles import perturb
from pretended_gpu import pretended_gpu

from hpc_wgf import Gaussian, PWGFOptions
from hpc_wgf.choices import Form, Preconditioning, Solver
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.krylov.graph import Replayed
from hpc_wgf.methods.pwgf.normal_equations import assemble
from hpc_wgf.methods.pwgf.solver import MetricSolver
from hpc_wgf.metric import StandingGram
from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.problems import Flow, PotentialEnergy, Quadratic, SumOfEnergies
from hpc_wgf.recordings import drop_all

# Modules, and velocities that are differentiated as such once a step has frozen them.
OF_AUTOGRAD = ("module", "velocity-flow-potential", "velocity-flow-residual")
BUILT_IN = [name for name in MAPS if not any(each in name for each in OF_AUTOGRAD)]
SHORT = [
    "affine", "block-wide", "spline", "planar", "rbf", "perceptron-1", "radial",
    "composition-scaling", "neural-ode", "neural-ode-narrow", "real-nvp", "convex",
]  # fmt: skip
KINDS = ["none", "dense", "outputs", "kronecker", "nystrom"]
FLOW = Flow(SumOfEnergies([PotentialEnergy(Quadratic(D))]))


def samples(communicator, seed: int) -> Ensemble:
    """Two chunks of samples of a Gaussian."""
    generator = torch.Generator().manual_seed(seed)
    chunks = []
    for count in (23, 20):
        z = torch.randn(count, D, generator=generator, dtype=torch.float64)
        z = z.to(communicator.device)
        chunks.append(Cloud(z, Gaussian(D).log_density(z), Gaussian(D).score(z)))
    return Ensemble(chunks, [[23, 20]], communicator, seed)


def solves(communicator, map, options: PWGFOptions, standing: StandingGram | None):
    """η of two systems at different parameters and samples, and with another shift."""
    solver, memory, found = MetricSolver(map, options), None, []
    begun = map.get_theta()
    for number in range(2):
        ensemble = samples(communicator, number)
        map.set_theta(begun + 0.05 * number * torch.ones_like(begun))
        system = assemble(map, ensemble, FLOW, form=Form.FORCE, standing=standing)
        solved = solver.solve(map, system, memory, None)
        memory = solved.memory
        found.append((solved.eta.cpu().clone(), solved.stats))
        if number == 1 and memory is not None:
            solved = solver.increase_damping(system, memory, None)
            found.append((solved.eta.cpu().clone(), solved.stats))
        del system
    map.set_theta(begun)
    return found


def check(communicator, map, kind: str) -> None:
    """Recorded solves are those that run step by step, to the bit, and are recorded once."""
    options = PWGFOptions(
        preconditioner=Preconditioning(kind), rtol=1e-9, shift=1e-3, max_products=7,
        dtype="float64",
    )  # fmt: skip
    plain, before = solves(communicator, map, options, None), communicator.counts()
    recorded = solves(communicator, map, options, StandingGram())
    counts = communicator.counts() - before
    assert counts.captures == 1, kind
    assert counts.replays, kind
    for (eta, stats), (expected, its) in zip(recorded, plain, strict=True):
        assert torch.equal(eta, expected), kind
        assert stats == its


def cases(request) -> list[tuple[str, str]]:
    """Every map once, with all kinds of preconditioners in turn; or with `--every` all pairs."""
    if request.config.getoption("--every"):
        return [(name, kind) for name in BUILT_IN for kind in KINDS]
    return [(name, KINDS[k % len(KINDS)]) for k, name in enumerate(SHORT)]


def test_recorded_solves_are_those_that_run_step_by_step(request):
    with pretended_gpu() as communicator:
        for name, kind in cases(request):
            map = perturb(MAPS[name](), 0.1).to(torch.float64).to(communicator.device)
            check(communicator, map, kind)


@pytest.mark.parametrize("kind", ["none", "kronecker"])
def test_lsmr_records_nothing(kind):
    options = PWGFOptions(
        preconditioner=Preconditioning(kind), solver=Solver.LSMR, rtol=1e-9, shift=1e-3,
        max_products=7, dtype="float64",
    )  # fmt: skip
    with pretended_gpu() as communicator:
        map = perturb(MAPS["block-narrow"](), 0.1).to(torch.float64).to(communicator.device)
        plain, before = solves(communicator, map, options, None), communicator.counts()
        found = solves(communicator, map, options, StandingGram())
        assert (communicator.counts() - before).captures == 0
        for (eta, _), (expected, _) in zip(found, plain, strict=True):
            assert torch.equal(eta, expected)


def test_a_place_that_is_lent_serves_nobody_else():
    with pretended_gpu() as communicator:
        map = perturb(MAPS["affine"](), 0.1).to(torch.float64).to(communicator.device)
        standing, ensemble = StandingGram(), samples(communicator, 0)
        one = assemble(map, ensemble, FLOW, form=Form.FORCE, standing=standing)
        two = assemble(map, ensemble, FLOW, form=Form.FORCE, standing=standing)
        assert one.gram.standing is standing
        assert two.gram.standing is None
        del one
        three = assemble(map, ensemble, FLOW, form=Form.FORCE, standing=standing)
        assert three.gram.standing is standing
        assert three.gram.iteration(three.b, None) is three.gram.iteration(three.b, None)


def test_other_chunks_are_recorded_anew_and_few_left_out_not_at_all():
    with pretended_gpu() as communicator:
        map = perturb(MAPS["affine"](), 0.1).to(torch.float64).to(communicator.device)
        standing, ensemble = StandingGram(), samples(communicator, 0)
        first = assemble(map, ensemble, FLOW, form=Form.FORCE, standing=standing)
        iteration = first.gram.iteration(first.b, None)
        del first
        fewer = Ensemble(ensemble.chunks[:1], [[23]], communicator)
        other = assemble(map, fewer, FLOW, form=Form.FORCE, standing=standing)
        assert other.gram.iteration(other.b, None) is not iteration
        left = replace(fewer, left_out=1)
        del other
        system = assemble(map, left, FLOW, form=Form.FORCE, standing=standing)
        assert system.gram.standing is None


@pytest.mark.parametrize("name", ["module", "composition-module"])
def test_a_module_is_never_recorded(name):
    """Its autograd graph belongs to the stream on which it was evaluated."""
    map = MAPS[name]()
    assert not map.linearizer().capturable
    # The numbers need no GPU: the ranks say that they could be recorded.
    communicator = LocalCommunicator()
    communicator.capturable = True
    standing = StandingGram()
    system = assemble(map, samples(communicator, 0), FLOW, form=Form.FORCE, standing=standing)
    assert system.gram.standing is None
    assert all(MAPS[name]().linearizer().capturable for name in BUILT_IN)


def test_the_emulation_refuses_what_a_gpu_does(caplog):
    """A step that may not be recorded is said once, and runs on with the same numbers."""

    def gradient(x):
        y = x.detach().requires_grad_()
        x.copy_(torch.autograd.grad((y * y).sum(), y)[0])

    steps = {"autograd": gradient, "reads": lambda x: x.mul_(float(x.sum()) / float(x.sum()) + 1)}
    for what, step in steps.items():
        with pretended_gpu() as communicator:
            x = torch.ones(3, device=communicator.device)
            replayed = Replayed(lambda x=x, step=step: step(x), communicator.device)
            caplog.clear()
            for _ in range(6):
                replayed()
            assert x.cpu().tolist() == [64.0] * 3
            assert len(caplog.records) == 1
            assert what in caplog.text


def test_graphs_are_dropped_at_once():
    with pretended_gpu() as communicator:
        x = torch.ones(3, device=communicator.device)
        replayed = Replayed(lambda: x.mul_(2.0), communicator.device)
        for _ in range(5):
            replayed()
        assert communicator.counts().replays
        before = communicator.counts()
        drop_all()
        replayed()
        assert (communicator.counts() - before).replays == 0
        assert x.cpu().tolist() == [64.0] * 3
