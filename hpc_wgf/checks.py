"""What is tried before any work: the energy and the map at the start samples."""

from __future__ import annotations

import hashlib

import torch

from .errors import InputError
from .maps import PushForward
from .methods import PWGF
from .parallel import Communicator, describe
from .problems import Problem


def check_start(problem: Problem, runner: PWGF) -> None:
    """The energy at every sample that the first step will see, and the map's being the identity
    there, with a volume and products."""
    for reference in (*runner.samples(0), *runner.evaluation.leaves):
        problem.check(reference.z)
        with torch.no_grad():
            x = runner.map(reference.z)
        if x.shape != reference.z.shape:
            raise InputError(
                f"the map returned shape {tuple(x.shape)} for samples of shape "
                f"{tuple(reference.z.shape)}"
            )
        if not torch.equal(x, reference.z):
            raise InputError(
                "the map is not the identity at its initial parameters (it moves a start sample "
                f"by {float((x - reference.z).abs().max()):.3g}): make its last layer zero, or use "
                "it anchored, z + N_θ(z) − N_θ₀(z)"
            )
    try:
        z = reference.z[:4]
        runner.map.transport(z, reference.score[:4])
        jacobian = runner.map.linearize(z)
        jacobian.vjp(jacobian.jvp(runner.map.get_theta()))
    except Exception as error:
        raise InputError(
            f"the map cannot be differentiated, as the method needs it: {describe(error)}"
        ) from error


def check_same_theta(map: PushForward, communicator: Communicator) -> None:
    digest = hashlib.sha256(map.get_theta().cpu().numpy().tobytes()).hexdigest()
    if len(set(communicator.gather(digest))) > 1:
        raise InputError(
            "the ranks start from different parameters: seed the random numbers that "
            "initialise the map, the same on every rank"
        )
