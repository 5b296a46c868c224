"""Every communicator keeps the contract of the protocol, in real processes; sums have the bits of
the tree of one process, so that they do not depend on who carries them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contract_of_ranks import values
from processes import MPIRUN, needs, script

from hpc_wgf.parallel import LocalCommunicator, tree_sum

CASES = [
    pytest.param(("torch", "torchrun"), id="torch"),
    pytest.param(("mpi", "mpirun"), id="mpi", marks=needs("mpirun", "mpi")),
]
KINDS = {
    "float64": lambda rank: values(rank),
    "float32": lambda rank: values(rank, torch.float32),
    "bfloat16": lambda rank: values(rank, torch.bfloat16),
    "int64": lambda rank: values(rank, torch.int64),
    "transposed": lambda rank: values(rank).T,
    "every other column": lambda rank: values(rank),
    "scalar": lambda rank: values(rank)[0, 0],
    "empty": lambda rank: values(rank)[:0],
    "large": lambda rank: values(rank).repeat(20_000, 1),
}


def on(ranks: int, folder, carrier: tuple[str, str], part: str, status: bool = True):
    """What each rank found, with a (communicator, launcher) to carry it."""
    comm, launcher = carrier
    result = folder / f"{comm}-{ranks}"
    done = script("contract_of_ranks.py", result, comm, part, ranks=ranks, launcher=launcher)
    assert (done.returncode == 0) == status, done.stderr
    missing = [rank for rank in range(ranks) if not Path(f"{result}-{rank}.pt").exists()]
    assert not missing, f"ranks {missing} ended without a result: {done.stderr}"
    return [torch.load(f"{result}-{rank}.pt") for rank in range(ranks)]


@pytest.fixture(scope="module", params=[3, 4])
def ranks(request):
    return request.param


@pytest.fixture(scope="module", params=CASES)
def found(request, ranks, tmp_path_factory):
    """What each rank found in the collectives, launched once."""
    parts = on(ranks, tmp_path_factory.mktemp("contract"), request.param, "collectives")
    kind = {"torch": "TorchCommunicator", "mpi": "MPICommunicator"}[request.param[0]]
    assert {part["kind"] for part in parts} == {kind}
    assert not any(part["capturable"] for part in parts)
    return parts


def test_no_rank_begins_before_all_are_connected(found):
    """Rank 1 takes its time; one that began and failed before would seem never to have come."""
    connected = [moment for part in found for moment in part["connected"]]
    assert len(connected) == (len(found) if found[0]["kind"] == "TorchCommunicator" else 0)
    assert min(part["begun"] for part in found) >= max(connected, default=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sum_is_that_of_the_tree_of_ranks_on_all(found, kind):
    """To the bit on a power of two; else ranks beyond it are added to the first ones."""
    terms = [KINDS[kind](rank) for rank in range(len(found))]
    if len(terms) == 3:
        terms = [terms[0] + terms[2], terms[1]]
    expected = tree_sum(terms)
    for part in found:
        assert part[kind].dtype == expected.dtype
        assert torch.equal(part[kind], expected), kind


def test_a_sum_that_is_staged_on_the_host_is_the_same(found):
    for part in found:
        if part["kind"] == "MPICommunicator":
            assert torch.equal(part["staged"], part["float64"])


def test_transfers_under_way_at_the_same_time_arrive_where_they_belong(found):
    for rank, part in enumerate(found):
        assert torch.equal(part["from the left"], values((rank - 1) % len(found)))
        right = torch.full((2,), float((rank + 1) % len(found)), dtype=torch.float32)
        assert torch.equal(part["from the right"], right)


def test_what_is_gathered_is_of_every_rank_in_order(found):
    expected = [{"rank": rank, "text": "ü" * 100 * rank} for rank in range(len(found))]
    for part in found:
        assert part["gathered"] == expected
        assert part["gathered nothing"] == [None] * len(found)


@pytest.mark.parametrize("carrier", CASES)
def test_a_reported_failure_breaks_the_collectives_of_the_others(tmp_path, carrier):
    *others, failed = on(4, tmp_path, carrier, "failure", status=False)
    assert failed["first"]
    for part in others:
        assert part["broken"]
        assert part["reported"] == "the cause, on grounds of ε"
        assert part["seconds"] < 10


@pytest.mark.parametrize("carrier", CASES)
def test_of_ranks_that_fail_together_one_has_the_word(tmp_path, carrier):
    parts = on(4, tmp_path, carrier, "contest", status=False)
    assert [part["first"] for part in parts].count(True) == 1


@pytest.mark.parametrize("launcher", [MPIRUN])
def test_torch_distributed_under_mpirun(tmp_path, launcher):
    parts = on(2, tmp_path, ("torch", launcher), "collectives")
    assert {part["kind"] for part in parts} == {"TorchCommunicator"}
    assert torch.equal(parts[1]["float64"], values(0) + values(1))


def test_one_process_is_the_identity():
    local, received = LocalCommunicator(), torch.empty(5, 3)
    assert torch.equal(local.sum(values(0)), values(0))
    local.exchange(values(0), 0, received, 0)()
    assert torch.equal(received, values(0))
    assert local.gather("x") == ["x"]
    with pytest.raises(SystemExit, match="3"):
        local.abort(3)
