"""A rank blocked in C, as one that waits for NCCL, ends when another one is lost, with one line."""

from __future__ import annotations

import json
import re

import pytest
from processes import free_port, script

_SOON = 5.0
SAID = {
    "killed": r"rank 1 \(.*process \d+\) has ended without saying why",
    "killed-first": "rank 1 has lost the place where the ranks met: rank 0",
    "raises": "rank 1: ZeroDivisionError: the cause",
    "silent": r"rank 1 .*has not been heard of for 2 s \(HPC_WGF_HEARTBEAT_TIMEOUT\)",
    "hangs": r"has met no other rank for 2 s \(HPC_WGF_COLLECTIVE_TIMEOUT\) and waits at .*blocked",
}
BLOCKED = {"killed": [0], "killed-first": [1], "raises": [0], "silent": [0], "hangs": [0, 1]}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Status, seconds after something went wrong, and words of both ranks, by what it was."""
    ports = [free_port() for _ in range(len(SAID) + 1)]
    done = script("blocked.py", tmp_path_factory.mktemp("blocked"), *ports, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", SAID)
def test_ranks_blocked_in_c_end_soon_with_one_line(ended, mode):
    said = [line for _, _, words in ended[mode] for line in words.splitlines()]
    assert len(said) == 1, said
    assert re.search(f"^error: .*{SAID[mode]}", said[0])
    for rank in BLOCKED[mode]:
        status, seconds, _ = ended[mode][rank]
        assert (status, seconds < _SOON) == (1, True), ended[mode]


def test_a_rank_that_ends_as_it_should_ends_nobody_else(ended):
    """The other one is then still at work, for longer than its watch needs to look twice."""
    assert [(status, words) for status, _, words in ended["leaves"]] == [(0, ""), (0, "")]
    assert ended["leaves"][0][1] > 2.0
