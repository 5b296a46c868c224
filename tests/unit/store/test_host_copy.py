"""Copies of samples that wait for the disk."""

from __future__ import annotations

import torch

from hpc_wgf.parallel import LocalCommunicator
from hpc_wgf.store.host_copy import HostCopy
from hpc_wgf.store.shards import ShardExchange


def test_a_copy_keeps_what_it_was_made_of():
    """The method may write its next samples into the same memory."""
    values = torch.arange(6.0).reshape(3, 2)
    copy = HostCopy(values)
    sent = ShardExchange(LocalCommunicator(), slice(0, 3), 3).sent(values)
    values.zero_()
    assert copy.numpy().tolist() == sent().tolist() == [[0, 1], [2, 3], [4, 5]]
