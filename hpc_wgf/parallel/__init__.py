"""Ranks, the processes of a run: their communication, and samples that do not depend on them."""

from .blocks import RandomStream, SampleBlocks, affordable, samples_to_check
from .communicator import Communicator, LocalCommunicator, agreed
from .cores import is_core_idle, threads_as_of_torch
from .environment import communicator_from_environment
from .generators import generators
from .gpus import Resource, in_words, one_thread
from .launcher import Launcher, Place, find_place
from .mpi import MPICommunicator
from .philox import uniforms
from .session import distributed
from .signals import StopRequest, status_of_stop, stop_request
from .sums import TreeBuffers, TreeSum, tree_sum
from .torch_distributed import TorchCommunicator
from .votes import any_rank

__all__ = [
    "Communicator",
    "Launcher",
    "LocalCommunicator",
    "MPICommunicator",
    "Place",
    "RandomStream",
    "Resource",
    "SampleBlocks",
    "StopRequest",
    "TorchCommunicator",
    "TreeBuffers",
    "TreeSum",
    "affordable",
    "agreed",
    "any_rank",
    "communicator_from_environment",
    "distributed",
    "find_place",
    "generators",
    "in_words",
    "is_core_idle",
    "one_thread",
    "samples_to_check",
    "status_of_stop",
    "stop_request",
    "threads_as_of_torch",
    "tree_sum",
    "uniforms",
]
