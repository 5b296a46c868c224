"""A map in a file: the same bits again, nothing overwritten, nothing executed, damage found."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import hpc_wgf as wgf
from hpc_wgf.maps import ModuleMap


def every_kind() -> list[wgf.PushForward]:
    spline = wgf.AxisSpline(2, 7, low=[-1.0, 0.1], high=[2.0, 1 / 3])
    features = {"scale": 2.0, "seed": 3}
    block = wgf.BlockFlow(2, 5, **features)
    return [
        spline, block, wgf.PlanarFlow(2, 3, **features), wgf.ResidualPerceptron(2, (4, 3)),
        wgf.Composition(wgf.Affine(2), wgf.AxisSpline(2, 5), wgf.BlockFlow(2, 3)),
        wgf.RadialBasis(2, 4), wgf.SoftmaxGates(2, [[0.1, 0.2], [-1 / 3, 1.0]], variance=0.7),
        wgf.NeuralODE(2, 3, steps=5, linear=False, **features), wgf.RealNVP(2, 3, 2, **features),
        wgf.ConvexGradient(2, 3, **features),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("map", every_kind(), ids=lambda map: type(map).__name__)
def test_a_map_is_read_again_to_the_bit(tmp_path, map, dtype):
    map = map.to(dtype)
    theta = map.get_theta() + 0.1 * torch.randn(map.parameter_count()).to(dtype)
    wgf.save_map(map.at(theta), tmp_path / "map.npz")
    torch.set_default_dtype(torch.float32)  # as where a user has said nothing
    again = wgf.load_map(tmp_path / "map.npz")
    assert type(again) is type(map)
    assert again.get_theta().dtype is dtype
    assert torch.equal(again.get_theta(), theta)
    z = torch.randn(50, 2, dtype=torch.float64).to(dtype)
    score = torch.randn(50, 2, dtype=torch.float64).to(dtype)
    for found, expected in zip(again.transport(z, score), map.transport(z, score), strict=True):
        assert torch.equal(found, expected)


def test_what_lies_there_is_not_overwritten(tmp_path):
    path = tmp_path / "map.npz"
    for make in (lambda: path.write_text("mine"), lambda: path.symlink_to("nowhere"), path.mkdir):
        make()
        with pytest.raises(wgf.InputError, match="exists already, and is not overwritten"):
            wgf.save_map(wgf.Affine(2), path)
        if path.is_file():
            assert path.read_text() == "mine"
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(wgf.InputError, match="there is no folder"):
        wgf.save_map(wgf.Affine(2), tmp_path / "nowhere" / "map.npz")
    module = ModuleMap(2, torch.nn.Linear(2, 2), anchored=True)
    with pytest.raises(wgf.InputError, match="cannot be made again from plain data"):
        wgf.save_map(module, path)
    assert list(tmp_path.iterdir()) == []


class Executes:
    """An object whose pickle makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def archive(path: Path, **changes) -> None:
    wgf.save_map(wgf.Affine(2), path)
    arrays = dict(np.load(path)) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def described(**description) -> np.ndarray:
    return np.asarray(json.dumps(description))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"theta": None}, "theta"),
        ({"theta": np.zeros(5)}, "5 parameters for a map of 6"),
        ({"theta": np.zeros((2, 3))}, "6 parameters for a map of 6|shape"),
        ({"theta": np.zeros(6, complex)}, "not finite numbers in float64 or float32"),
        ({"theta": np.full(6, np.nan)}, "not finite numbers"),
        ({"format": np.asarray(2)}, "its format is 2, this version reads 1"),
        ({"map": np.asarray("{")}, "damaged"),
        ({"map": np.asarray("[" * 100000)}, "no map can be read"),
        ({"map": np.asarray(3)}, "no map can be read"),
        ({"map": described(kind="os.system")}, "kind 'os.system' cannot be made"),
        ({"map": described(kind="affine", dimension=0)}, "at least 1"),
        ({"map": described(kind="affine", dimension="2")}, "whole number"),
        ({"map": described(kind="affine", dimension=10**9)}, "no map can be read"),
    ],
)  # fmt: skip
def test_what_is_no_map_is_refused_in_one_line(tmp_path, changes, said):
    path = tmp_path / "map.npz"
    archive(path, **changes)
    with pytest.raises(wgf.InputError, match=said) as caught:
        wgf.load_map(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_strangers_file_executes_nothing(tmp_path):
    path, ran = tmp_path / "map.npz", tmp_path / "ran"
    archive(path, theta=np.asarray([Executes(ran)], dtype=object))
    with pytest.raises(wgf.InputError, match="no map can be read"):
        wgf.load_map(path)
    path.write_bytes(pickle.dumps(Executes(ran)))
    with pytest.raises(wgf.InputError, match="no map can be read"):
        wgf.load_map(path)
    assert not ran.exists()


def test_a_changed_byte_and_a_lost_end_are_found(tmp_path):
    path = tmp_path / "map.npz"
    map = wgf.AxisSpline(1, 64)
    wgf.save_map(map.at(torch.randn(64)), path)
    whole = path.read_bytes()
    at = whole.index(b"theta.npy") + 200  # in the numbers
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(wgf.InputError, match="no map can be read"):
        wgf.load_map(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(wgf.InputError, match="no map can be read"):
        wgf.load_map(path)
    with pytest.raises(wgf.InputError, match="no map at"):
        wgf.load_map(tmp_path / "nowhere")
