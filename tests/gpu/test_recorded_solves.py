"""All solves of a run replay one recorded iteration, and find the same bits as without it."""

from __future__ import annotations

import pytest
import torch
from every_map import MAPS, D
from oracles import perturb
from pretended_gpu import pretended_gpu

from hpc_wgf import Gaussian, PWGFOptions
from hpc_wgf.choices import Form, Preconditioning
from hpc_wgf.cloud import Cloud
from hpc_wgf.ensemble import Ensemble
from hpc_wgf.methods.pwgf.normal_equations import assemble
from hpc_wgf.methods.pwgf.solver import MetricSolver
from hpc_wgf.metric import StandingGram
from hpc_wgf.problems import Flow, PotentialEnergy, Quadratic, SumOfEnergies

BUILT_IN = [name for name in MAPS if "module" not in name]
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


@pytest.mark.parametrize("name", BUILT_IN)
def test_recorded_solves_are_those_that_run_step_by_step(name):
    with pretended_gpu() as communicator:
        map = perturb(MAPS[name](), 0.1).to(torch.float64).to(communicator.device)
        for kind in KINDS:
            options = PWGFOptions(
                preconditioner=Preconditioning(kind), rtol=1e-9, shift=1e-3, max_products=7,
                dtype="float64",
            )  # fmt: skip
            plain = solves(communicator, map, options, None)
            before = communicator.counts()
            recorded = solves(communicator, map, options, StandingGram())
            counts = communicator.counts() - before
            assert counts.captures == 1, kind
            assert counts.replays, kind
            for (eta, stats), (expected, its) in zip(recorded, plain, strict=True):
                assert torch.equal(eta, expected), kind
                assert stats == its
