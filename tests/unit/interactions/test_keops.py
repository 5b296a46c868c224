"""Sums over pairs by PyKeOps: its formulas are the kernels, its sums those of the tiles."""

from __future__ import annotations

import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf import GaussianKernel, InputError, InteractionEnergy, PairSums, PowerLaw, UserKernel
from hpc_wgf.checks import check_same_pairs
from hpc_wgf.config import load, load_problem
from hpc_wgf.interactions import (
    Morse,
    NonradialKernel,
    Particles,
    Power,
    ScreenedCoulomb,
    Softened,
    fastest_sums,
    formulas,
    keops,
)
from hpc_wgf.parallel import LocalCommunicator

KNOWN = [
    *(Power(q) for q in (-3, -2, -1.5, -1, 0, 0.5, 1, 2, 3, 3.5, 4, 5, 6)), PowerLaw(4, 2),
    PowerLaw(2, 0), PowerLaw(3, -1.5), GaussianKernel(0.7, 0.6), Morse(1.5, 0.4),
    ScreenedCoulomb(0.7), Softened(Power(0), 0.05), Softened(PowerLaw(2, -1), 0.3),
]  # fmt: skip
UNKNOWN = [
    ScreenedCoulomb(0.7, field=2), UserKernel(lambda s: s), NonradialKernel(lambda x: x[:, 0] ** 2)
]  # fmt: skip
needs_keops = pytest.mark.skipif(not keops.is_installed(), reason="PyKeOps is an extra")


def evaluated(text: str, x: torch.Tensor, y: torch.Tensor, p: tuple[float, ...]) -> torch.Tensor:
    """What KeOps' functions mean, by torch."""
    functions = {
        "SqDist": lambda a, b: (a - b).square().sum(-1), "Elem": lambda a, k: a[k],
        "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Rsqrt": torch.rsqrt,
        "Inv": torch.reciprocal, "Square": torch.square, "IntCst": float,
    }  # fmt: skip
    return eval(text, functions, {"x": x, "y": y, "p": p})


@pytest.mark.parametrize("kernel", KNOWN, ids=str)
def test_the_formula_is_the_kernel(kernel):
    x, y = torch.randn(2, 50, 3, dtype=torch.float64)
    square, formula = (x - y).square().sum(-1), formulas.formula_of(kernel)
    for text, expected in (
        (formula.value, kernel.value(square)), (formula.weight, kernel.weight(square))
    ):  # fmt: skip
        found = torch.as_tensor(evaluated(text, x, y, formula.parameters), dtype=torch.float64)
        assert torch.allclose(found.expand_as(square), expected, rtol=1e-12, atol=1e-13)


def particles(x: torch.Tensor) -> Particles:
    """In chunks of different lengths, one of them empty."""
    parts = [x[:30], x[30:30], x[30:]]
    return Particles(parts, [[len(part) for part in parts]], LocalCommunicator())


@needs_keops
@pytest.mark.parametrize(
    ("kernel", "self_pairs", "dtype"),
    [
        # Few formulas and formats, as each takes seconds to compile, once on a machine.
        (PowerLaw(2, 0), False, torch.float64),
        (PowerLaw(2, 0), False, torch.float32),
        (GaussianKernel(0.7, 0.6), False, torch.float64),
        (GaussianKernel(0.3, 0.2), True, torch.float64),
    ],
)
def test_its_sums_are_those_of_the_tiles(kernel, self_pairs, dtype):
    """To rounding, with two particles in one place, with and without a particle's own pair."""
    x = 3 + torch.randn(100, 3, dtype=torch.float64)
    x[7] = x[50]
    both = [
        InteractionEnergy(kernel, 1.3, self_pairs=self_pairs, pairs=by).fields(
            particles(x.to(dtype)), potential=True
        )
        for by in (PairSums.TILES, PairSums.KEOPS)
    ]
    bound = 100 * torch.finfo(dtype).eps
    for tiles, loops in zip(*both, strict=True):
        assert loops.force.dtype == dtype
        assert torch.allclose(loops.force, tiles.force, rtol=bound, atol=bound)
        assert torch.allclose(loops.potential, tiles.potential, rtol=bound, atol=bound)


def test_what_keops_cannot_sum_is_refused_before_any_work(monkeypatch):
    """A run needs the package; its store is looked at without it."""
    monkeypatch.setattr(keops, "is_installed", lambda: False)
    spec = load_problem("aggregation-log", "problem.energy.0.pairs=keops")
    with pytest.raises(InputError, match=r"pip install 'hpc-wgf\[keops\]'.*goes on by it only"):
        wgf.solve(*spec)
    monkeypatch.setattr(keops, "is_installed", lambda: True)
    for kernel in UNKNOWN:
        with pytest.raises(InputError, match="has no formula.*tiles"):
            InteractionEnergy(kernel, pairs="keops")
    with pytest.raises(InputError, match="which route 'batches' does not take"):
        InteractionEnergy(Power(0), pairs="keops", route="batches")
    with pytest.raises(InputError, match="'tiles' or 'keops', got 'automatic'"):
        InteractionEnergy(Power(0), pairs="automatic")


def test_a_failed_compilation_is_told(monkeypatch):
    def broken():
        raise RuntimeError("first line\ng++: not found")

    monkeypatch.setattr(keops, "_library", broken)
    monkeypatch.setattr(keops, "is_installed", lambda: True)
    energy = InteractionEnergy(Power(-0.25), pairs="keops")
    with pytest.raises(InputError, match=r"RuntimeError: .*g\+\+: not found.*pairs = 'tiles'"):
        energy.fields(particles(torch.randn(40, 7)))


def test_the_choice_is_keops_where_it_is_faster(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for installed in (True, False):
        monkeypatch.setattr(keops, "is_installed", lambda there=installed: there)
        by = PairSums.KEOPS if installed else PairSums.TILES
        assert fastest_sums(Power(0), 10_000, 2) is fastest_sums(PowerLaw(2, -1), 10_000, 2) is by
    monkeypatch.setattr(keops, "is_installed", lambda: True)
    assert fastest_sums(Power(0), 1000, 2) is PairSums.TILES
    assert fastest_sums(Power(0), 10_000, 8) is PairSums.TILES
    for kernel in (PowerLaw(4, 2), GaussianKernel(), Morse(), Power(0.3), *UNKNOWN):
        assert fastest_sums(kernel, 10_000, 2) is PairSums.TILES
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert fastest_sums(Power(0), 10_000, 2) is PairSums.TILES


@pytest.mark.parametrize("installed", [False, True])
def test_a_store_keeps_what_was_chosen(monkeypatch, installed):
    """A package that is installed later changes no run that has begun."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(keops, "is_installed", lambda: installed)
    chosen = load(
        "keller-segel-2d", ['problem.energy.1.pairs="automatic"', "method.samples=10000"]
    ).stored()
    part = chosen["problem"]["energy"][1]
    assert part.get("pairs") == ("keops" if installed else None)
    monkeypatch.setattr(keops, "is_installed", lambda: True)
    again = type(load("ou-2d", [])).model_validate(chosen)
    assert again.stored() == chosen
    energy = again.problem.build().energy.interactions[0]
    assert energy.pairs is (PairSums.KEOPS if installed else PairSums.TILES)


def test_a_run_does_not_go_on_by_other_sums(monkeypatch, tmp_path):
    monkeypatch.setattr(keops, "is_installed", lambda: True)

    def solve(until: float, **how) -> None:
        problem = wgf.Problem([InteractionEnergy(Power(0), **how)], wgf.Gaussian(2), until)
        method = wgf.PWGFOptions(samples=100, step=0.05, tolerance=None)
        output = wgf.Output(tmp_path / "run", every=0.05, particles=100)
        wgf.solve(problem, wgf.Affine(2), method, output, resume=until > 0.06)

    solve(0.05)
    with pytest.raises(InputError, match="holds another run.*\n.*energy: stored.*pairs=keops"):
        solve(0.1, pairs="keops")


def test_a_kernel_that_extends_another_is_not_that_other():
    class Twice(Power):
        def value(self, square: torch.Tensor) -> torch.Tensor:
            return 2 * super().value(square)

        def weight(self, square: torch.Tensor) -> torch.Tensor:
            return 2 * super().weight(square)

    assert formulas.formula_of(Twice(-1)) is None
    assert formulas.formula_of(Softened(Twice(-1), 0.1)) is None
    assert fastest_sums(Twice(-1), 10**6, 2) is PairSums.TILES


def test_where_batches_are_taken_it_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(keops, "is_installed", lambda: True)
    asked = ["problem.energy.1.pairs=automatic"]
    few, many = (load("keller-segel-2d", [*asked, f"method.samples={n}"]) for n in (8192, 200_000))
    assert few.problem.energy[1].pairs is PairSums.KEOPS
    assert many.problem.energy[1].pairs is PairSums.TILES


def test_ranks_that_would_sum_otherwise_are_told():
    class Others(LocalCommunicator):
        def gather(self, value):
            return [value, "keops"]

    problem = load_problem("aggregation-log")[0]
    check_same_pairs(problem, LocalCommunicator())
    with pytest.raises(InputError, match="rank 0 sums over pairs by tiles, rank 1 by keops"):
        check_same_pairs(problem, Others())
