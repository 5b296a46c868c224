"""Ranks: communicators, numbered sample blocks and their random streams."""

from .blocks import Purpose, SampleBlocks, TreeBuffers, TreeSum, samples_to_check, tree_sum
from .communicator import Communicator, LocalCommunicator, agreed, describe
from .environment import communicator_from_environment, one_thread
from .launcher import Launcher, Place, find_place
from .mpi import MPICommunicator
from .torch_distributed import TorchCommunicator

__all__ = [
    "Communicator",
    "Launcher",
    "LocalCommunicator",
    "MPICommunicator",
    "Place",
    "Purpose",
    "SampleBlocks",
    "TorchCommunicator",
    "TreeBuffers",
    "TreeSum",
    "agreed",
    "communicator_from_environment",
    "describe",
    "find_place",
    "one_thread",
    "samples_to_check",
    "tree_sum",
]
