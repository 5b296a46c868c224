"""The tables of a start and of a target by samples, and of a start of one's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from user_objects import NORMAL

import hpc_wgf as wgf
from hpc_wgf.config import imported_by, load


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.random.default_rng(0).standard_normal((400, 2)), y=np.zeros(3))
    return path


def built(*settings):
    return wgf.load_problem("ou-2d", *settings).problem


def test_a_start_by_samples_is_that_of_python(file):
    start = built(f'problem.start={{kind="samples", path="{file}", array="x", held_out=0.5}}').start
    assert repr(start) == repr(wgf.SampleStart(file, 2, array="x", held_out=0.5))
    fitted = f'problem.start={{kind="samples", path="{file}", array="x", density="fitted"}}'
    assert built(fitted).start.density_is_known


def test_a_target_by_samples_has_its_factor(file):
    table = f'{{kind="samples", path="{file}", array="x", factor=2.0}}'
    potential = built(f"problem.energy=[{table}]").energy.potential()
    alone = wgf.SampleTarget(file, 2, array="x")
    z = torch.randn(5, 2, dtype=torch.float64)
    assert torch.allclose(potential(z), 2 * alone(z), rtol=1e-12)


def test_a_target_takes_a_file_or_a_density_to_draw_from(file):
    for table in ('{kind="samples"}', f'{{kind="samples", path="{file}", draw_from={{}}}}'):
        with pytest.raises(wgf.InputError, match="takes either path or draw_from: give one"):
            built(f"problem.energy=[{table}]")
    with pytest.raises(wgf.InputError, match=r"energy.0.draw_from.men: unknown key .*'mean'\?"):
        built('problem.energy=[{kind="samples", draw_from={men=1}}]')


def test_a_store_keeps_whole_paths(tmp_path, monkeypatch):
    """Of all files of samples, wherever their table is."""
    monkeypatch.chdir(tmp_path)
    inner = '{kind="samples", draw_from={kind="samples", path="y.npy"}}'
    energy = f'problem.energy=[{{kind="samples", path="x.npy"}}, {inner}]'
    first, second = load("ou-2d", [energy]).stored()["problem"]["energy"]
    assert first["path"] == str(tmp_path / "x.npy")
    assert (second["path"], second["draw_from"]["path"]) == (None, str(tmp_path / "y.npy"))


def test_a_distribution_of_ones_own_starts_a_run():
    setting = 'problem.start={kind="user", object="user_objects:NORMAL"}'
    start = built(setting).start
    z = torch.zeros(1, 2, dtype=torch.float64)
    assert float(start.log_density(z)) == pytest.approx(float(NORMAL.log_prob(z)))
    assert imported_by(load("ou-2d", [setting])) == ["user_objects:NORMAL"]
    with pytest.raises(wgf.InputError, match="has dimension 2 but the problem has dimension 3"):
        built(setting, "problem.dimension=3")
