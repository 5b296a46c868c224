"""Ranks: communicators, numbered sample blocks and their random streams."""

from .blocks import Purpose, SampleBlocks, TreeBuffers, TreeSum, tree_sum
from .communicator import Communicator, LocalCommunicator, agreed, describe
from .torch_distributed import TorchCommunicator, communicator_from_environment

__all__ = [
    "Communicator",
    "LocalCommunicator",
    "Purpose",
    "SampleBlocks",
    "TorchCommunicator",
    "TreeBuffers",
    "TreeSum",
    "agreed",
    "communicator_from_environment",
    "describe",
    "tree_sum",
]
