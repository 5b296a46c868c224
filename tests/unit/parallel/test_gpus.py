"""Every rank takes a GPU of its own, or all ranks say in one line why they do not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hpc_wgf import InputError
from hpc_wgf.errors import PlaceError
from hpc_wgf.parallel import Launcher, Place, Resource, in_words
from hpc_wgf.parallel.gpus import device_of, refuse_unfit


@pytest.fixture
def on_node(monkeypatch):
    """A function: what `ranks` ranks of a node take, of which rank r sees the cards `seen[r]`."""

    def taken(seen: list[list[str]], device: str = "auto", *, usable: bool = True):
        found = []
        for rank, cards in enumerate(seen):
            for name, answer in {
                "device_count": lambda cards=cards: len(cards),
                "is_available": lambda cards=cards: usable and bool(cards),
                "set_device": lambda device: None,
                "get_device_properties": lambda device, cards=cards: SimpleNamespace(
                    name="H100", uuid=cards[device.index]
                ),
            }.items():
                monkeypatch.setattr(torch.cuda, name, answer)
            place = Place(Launcher.SLURM, rank, len(seen), rank, len(seen))
            found.append(Resource.of(device_of(device, place)))
        return found

    return taken


A, B, C, D = (f"GPU-{letter}" for letter in "abcd")
ALL = [A, B, C, D]
TAKEN = {
    "one rank, no GPU": ([[]], [""]),
    "one rank, one GPU": ([[A]], [A]),
    "one rank, two GPUs": ([[A, B]], [A]),
    "two ranks, no GPU": ([[], []], ["", ""]),
    "two ranks, two GPUs": ([[A, B]] * 2, [A, B]),
    "two ranks that each see their own": ([[A], [B]], [A, B]),
    "two ranks that each see two of their own": ([[A, B], [C, D]], [A, D]),
    "two ranks, four GPUs": ([ALL] * 2, [A, B]),
    "four ranks, four GPUs": ([ALL] * 4, ALL),
    "four ranks that each see their own": ([[each] for each in ALL], ALL),
}
REFUSED = {
    "two ranks, one GPU": ([[A]] * 2, "ranks 0 and 1 on .* share one GPU .GPU-a., of 1"),
    "four ranks, two GPUs": ([[A, B]] * 4, "ranks 0 and 2 on .*of 2 that they see: 4 ranks"),
    "four ranks bound to two": ([[A], [B], [A], [B]], "ranks 0 and 2 on .*Start one rank a GPU"),
    "a rank that is shown none": ([[A], []], "rank 1 on .* sees no GPU, but rank 0 on .* does"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_rank_takes_its_own_gpu(on_node, case):
    """Where Slurm showed each rank its own GPU alone, or ranks outnumbered GPUs, all went to the
    CPU and said nothing."""
    seen, cards = TAKEN[case]
    found = on_node(seen)
    refuse_unfit(found)
    assert [each.card for each in found] == cards
    assert {each.kind for each in found} == {"cuda" if cards[0] else "cpu"}


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("case", list(REFUSED)[:3])
def test_two_ranks_never_share_a_gpu(on_node, case, device):
    seen, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        refuse_unfit(on_node(seen, device))


def test_ranks_with_and_without_a_gpu_do_not_go_together(on_node):
    seen, message = REFUSED["a rank that is shown none"]
    with pytest.raises(InputError, match=message):
        refuse_unfit(on_node(seen))


def test_gpus_that_torch_cannot_use_are_not_passed_over(on_node, monkeypatch):
    """A torch newer than the driver ran on the CPU."""

    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(PlaceError, match=r"has 2 GPU\(s\), but torch .*driver .* is too old .*cpu"):
        on_node([[A, B]], usable=False)
    assert on_node([[A, B]], "cpu", usable=False)[0].kind == "cpu"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([[]], "1 rank on the CPU"),
        ([[], []], "2 ranks on CPUs"),
        ([[A], [B]], "2 ranks on 2 GPU(s): H100"),
        ([ALL] * 2, "2 ranks on 2 of 4 GPUs: H100"),
    ],
)
def test_what_ranks_compute_with_is_told(on_node, seen, words):
    assert in_words(on_node(seen)) == words
