"""How long a rank waits: for others to start, and for slower ones in a collective."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist
from processes import cli, free_port, started_by_hand

from hpc_wgf import InputError
from hpc_wgf.parallel.patience import Patience


def test_a_minute_to_start_and_half_an_hour_in_a_step():
    assert Patience.of({}) == Patience(60.0, 1800.0, 60.0)
    given = {
        "HPC_WGF_RENDEZVOUS_TIMEOUT": "300", "HPC_WGF_COLLECTIVE_TIMEOUT": "7.5",
        "HPC_WGF_HEARTBEAT_TIMEOUT": "9",
    }  # fmt: skip
    assert Patience.of(given) == Patience(300.0, 7.5, 9.0)


@pytest.mark.parametrize("given", ["", "soon", "0", "-1", "nan", "inf", "1e12"])
def test_seconds_that_are_none_are_refused(given):
    with pytest.raises(InputError, match=f"HPC_WGF_RENDEZVOUS_TIMEOUT={given}: expected seconds"):
        Patience.of({"HPC_WGF_RENDEZVOUS_TIMEOUT": given})


def place(rank: int, size: int, port: int) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip


@pytest.mark.parametrize(
    ("rank", "size", "message"),
    [(0, 3, "for 2 of 3 ranks, which did not come"), (1, 2, "for rank 0, which holds the meeting")],
    ids=["the others do not come", "rank 0 does not come"],
)
def test_a_rank_whose_peers_never_come_says_so_in_one_line(tmp_path, rank, size, message):
    port = free_port()
    begun = time.monotonic()
    done = cli(
        "run", "ou-2d", "--out", tmp_path / "run", timeout=60,
        HPC_WGF_RENDEZVOUS_TIMEOUT="1.5", **place(rank, size, port),
    )  # fmt: skip
    assert time.monotonic() - begun < 50
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    waited = f"error: rank {rank} waited 1.5 s at 127.0.0.1, port {port}, "
    assert done.stderr.startswith(waited + message)
    assert "set HPC_WGF_RENDEZVOUS_TIMEOUT to more seconds" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_slow_rank_is_no_missing_one_and_one_that_hangs_is_given_up(tmp_path):
    """Rank 1 is late for one sum, by less than the patience of a collective; to another it does
    not come at all."""
    port = free_port()

    def rank(number: int) -> dict[str, object]:
        found = tmp_path / f"{number}.json"
        # A fifth of the first is what gloo is given to connect; the late rank takes longer.
        waits = {"HPC_WGF_RENDEZVOUS_TIMEOUT": "15", "HPC_WGF_COLLECTIVE_TIMEOUT": "6"}
        done = started_by_hand("slow_rank.py", found, **waits, **place(number, 2, port))
        assert done.returncode == 0, done.stderr
        return json.loads(found.read_text())

    with ThreadPoolExecutor(2) as ranks:
        first, second = ranks.map(rank, range(2))
    assert first["sum"] == second["sum"] == 3.0
    assert first["waited"] > 3.0
    assert 5.0 < first["gave_up_after"] < 25.0
    assert "a collective failed" in first["error"]


def test_a_rank_that_is_lost_while_others_connect_is_not_waited_for_as_a_slow_one():
    """Between the start and the first collective: as long as for a rank that never came."""
    store = dist.TCPStore("127.0.0.1", 0, 2, True, wait_for_workers=False)

    def rank(number: int):
        waits = {"HPC_WGF_RENDEZVOUS_TIMEOUT": "6", "TORCHELASTIC_USE_AGENT_STORE": "True"}
        begun = time.monotonic()
        done = started_by_hand("lost_while_connecting.py", **waits, **place(number, 2, store.port))
        return done, time.monotonic() - begun

    with ThreadPoolExecutor(2) as ranks:
        (lost, _), (done, seconds) = ranks.map(rank, range(2))
    assert lost.returncode == 9
    assert done.returncode == 2
    assert "error: rank 1" in done.stderr
    assert seconds < 45


def test_a_port_that_is_none_is_refused():
    done = cli("run", "ou-2d", **place(0, 2, 99_999))
    assert done.returncode == 2
    assert done.stderr == (
        "error: environment variable MASTER_PORT=99999: expected a port from 1 to 65535\n"
    )
