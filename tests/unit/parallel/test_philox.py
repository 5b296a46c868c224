"""The counter-based stream: the published words, and numbers that belong to their counters."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from hpc_wgf import InputError
from hpc_wgf.parallel import uniforms
from hpc_wgf.parallel.philox import philox

CPU = torch.device("cpu")
GIVEN = {"seed": 3, "purpose": 1, "step": 7}
# Random123's kat_vectors for philox4x32 of ten rounds: counter, key, words.
KNOWN = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]  # fmt: skip


def drawn(begin: int, end: int, coordinates: int = 3, **other: int) -> torch.Tensor:
    return uniforms(slice(begin, end), coordinates, **GIVEN | other, device=CPU)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_words_are_those_of_random123(counter, key, words):
    found = philox([torch.tensor([word]) for word in counter], tuple(key))
    assert " ".join(f"{int(word):08x}" for word in found) == words


def test_numbers_are_made_of_the_words_of_their_counter():
    """(number mod 2³², number div 2³² + 2²⁴ purpose, step, pair) under the key (seed)."""
    number, seed, purpose, step, pair = (5 << 32) + 9, (8 << 32) + 6, 5, (1 << 32) - 1, 2
    counter = [9, 5 + (purpose << 24), step, pair]
    words = [int(each) for each in philox([torch.tensor(c) for c in counter], (6, 8))]
    given = {"seed": seed, "purpose": purpose, "step": step}
    u = drawn(number, number + 1, 6, **given)[0, 2 * pair :].tolist()
    assert u == [((words[k] * 2**20 + words[k + 1] // 2**12) + 0.5) / 2**52 for k in (0, 2)]


def test_a_number_does_not_depend_on_what_is_drawn_with_it():
    whole = drawn(0, 100, 5)
    assert torch.equal(torch.cat([drawn(0, 33, 5), drawn(33, 100, 5)]), whole)
    assert torch.equal(drawn(0, 100, 4), whole[:, :4])


def test_no_two_seeds_purposes_steps_samples_or_coordinates_share_numbers():
    several = [{}, {"seed": 4}, {"seed": 3 + (1 << 32)}, {"purpose": 2}, {"step": 8}]
    every = torch.cat([drawn(0, 200, **each).flatten() for each in several])
    assert len(every.unique()) == len(every)


def test_they_are_uniform_and_independent():
    u = drawn(0, 4096, 6)
    assert 0.0 < float(u.min()) < float(u.max()) < 1.0
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3
    correlations = torch.corrcoef(u.T) - torch.eye(6)
    assert float(correlations.abs().max()) < 5 / 4096**0.5
    follow = torch.corrcoef(torch.stack([u[:-1].flatten(), u[1:].flatten()]))[0, 1]
    assert abs(float(follow)) < 5 / u.numel() ** 0.5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seed": 1 << 64}, "a method.seed of 18446744073709551616 .* from 0 to 2\\^64 - 1"),
        ({"step": 1 << 32}, "a step, or a seed of new samples, of 4294967296"),
    ],
)
def test_what_does_not_fit_the_counter_is_refused(given, says):
    with pytest.raises(InputError, match=says):
        drawn(0, 0, **given)
