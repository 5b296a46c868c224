"""Torch modules of a user that are no map of samples: one line says what came back."""

from __future__ import annotations

import sys
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import hpc_wgf as wgf
from hpc_wgf.checks import copied
from hpc_wgf.checks.module import check_module

PROBLEM = wgf.Problem(
    [wgf.PotentialEnergy(wgf.Quadratic(2, 1.0)), wgf.Entropy(1.0)], wgf.Gaussian(2), until=0.02
)


class Residual(nn.Module):
    """z + W₂ tanh(W₁ z), or what `forward` makes of it; the identity at first."""

    def __init__(self, forward=None, first=None, dtype=torch.float64) -> None:
        super().__init__()
        self.first = first or nn.Linear(2, 8)
        self.last = nn.Linear(8, 2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.own, self.calls = forward, 0
        self.to(dtype)

    def net(self, z):
        return self.last(torch.tanh(self.first(z)))

    def forward(self, z):
        return z + self.net(z) if self.own is None else self.own(self, z)


def solved(module: nn.Module, anchored: bool = False) -> wgf.Summary:
    method = wgf.PWGFOptions(samples=100, step_size=0.01)
    map = wgf.ModuleMap(2, module, anchored=anchored)
    return wgf.solve(PROBLEM, map, method, wgf.Output(every=0.02)).summary


def old_norm(norm, *, used: bool = False) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Residual(first=norm(nn.Linear(2, 8)))
        if used:
            module(torch.zeros(1, 2))
    return module


def in_place(self, z):
    z += self.net(z)
    return z


def in_place_data(self, z):
    z.data += 1.0
    return z + self.net(z) - 1.0


def keeping(self, z):
    self.kept = self.net(z)
    return z + self.kept


def counting(self, z):
    self.calls += 1
    return z + self.calls * self.net(z)


class TwoArguments(Residual):
    def forward(self, z, t):
        return z + t * self.net(z)


def locked() -> nn.Module:
    module = Residual()
    module.lock = threading.Lock()
    return module


REFUSED = {
    "a tuple": (lambda: Residual(lambda self, z: (z, z.sum(1))), "returned a tuple of 2"),
    "None": (lambda: Residual(lambda self, z: None), "the module returned None"),
    "numpy": (lambda: Residual(lambda self, z: z.detach().numpy()), "returned a numpy.ndarray"),
    "single": (lambda: Residual(lambda self, z: z.float()), "returned float32 on cpu .* float64"),
    "two arguments": (TwoArguments, "missing 1 required positional argument: 't'"),
    "in place": (lambda: Residual(in_place), "the module (changes the|cannot be)"),
    "in place data": (lambda: Residual(in_place_data), "the module changes the samples"),
    "old weight norm": (lambda: old_norm(nn.utils.weight_norm), r"results .*\(.*first.weight\)"),
    "used": (lambda: old_norm(nn.utils.weight_norm, used=True), r"results .*\(.*first.weight\)"),
    "old spectral norm": (lambda: old_norm(nn.utils.spectral_norm), r"results .*first.weight\)"),
    "new weight norm": (
        lambda: Residual(first=parametrizations.weight_norm(nn.Linear(2, 8))),
        "cannot be differentiated.*remove_parametrizations",
    ),
    "spectral norm": (
        lambda: Residual(first=parametrizations.spectral_norm(nn.Linear(2, 8))),
        r"changes its buffers \(.*\) when it is evaluated.* call eval\(\)",
    ),
    "keeps": (lambda: Residual(keeping), r"keeps results of its own evaluation \(.*kept\)"),
    "lock": (locked, "cannot be copied, as a run needs it: TypeError: cannot pickle"),
    "ends": (lambda: Residual(lambda self, z: sys.exit(0)), r"ends the program, by sys.exit\(0\)"),
    "raises": (lambda: Residual(lambda self, z: 1 / 0), "ZeroDivisionError: division by zero"),
    "counts": (lambda: Residual(counting), "the map gives a sample another value when"),
    "drops out": (
        lambda: Residual(lambda self, z: z + functional.dropout(self.net(z) + z, 0.5)),
        "the map (is not the identity|gives a sample another)",
    ),
    "no gradient in z": (
        lambda: Residual(lambda self, z: z + self.net(z.detach())),
        "derivative with respect to its samples, as torch finds it, is not that",
    ),
    "no gradient in θ": (
        lambda: Residual(lambda self, z: z + torch.tanh(z @ self.first.weight.data.T)
                         @ self.last.weight.T + 0 * self.net(z)),
        "derivative with respect to its parameters, as torch finds it, is not that",
    ),
    "complex": (lambda: nn.Linear(2, 2, dtype=torch.complex64), "complex64: expected reals"),
    "lazy": (lambda: nn.LazyLinear(2), "the module's parameter weight has no shape yet"),
    "class": (lambda: Residual, "needs a torch.nn.Module, got the class Residual"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name):
    made, message = REFUSED[name]
    with pytest.raises(wgf.InputError, match=message) as refused:
        solved(made())
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_refused():
    with pytest.raises(wgf.InputError, match="the module is scripted"):
        wgf.ModuleMap(2, torch.jit.script(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "made",
    [
        Residual,
        lambda: Residual(dtype=torch.float16),
        lambda: Residual(first=parametrizations.spectral_norm(nn.Linear(2, 8))).eval(),
        lambda: Residual(first=nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.LayerNorm(8))),
    ],
    ids=["plain", "half", "spectral norm at rest", "layer norm"],
)
def test_a_sound_module_is_solved(made):
    """It follows the exact map, z moved by 1 − e^(−t), to a tenth of the way."""
    summary = solved(made())
    assert summary.finished
    assert summary.map_error_relative[-1] < 0.1


def test_kinks_are_no_wrong_derivative():
    net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2)).double()
    check_module(wgf.ModuleMap(2, net, anchored=True), torch.randn(8, 2))


def test_a_module_that_changes_its_argument_does_not_change_the_callers():
    z = torch.randn(4, 2)
    before = z.clone()
    with torch.no_grad():
        wgf.ModuleMap(2, Residual(in_place_data))(z)
    assert torch.equal(z, before)


def test_a_copy_shares_nothing():
    map = wgf.ModuleMap(2, Residual())
    copied(map).set_theta(torch.ones(map.parameter_count()))
    assert float(map.get_theta()[-1]) == 0.0
