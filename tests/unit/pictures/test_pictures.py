"""Pictures of a run: what they show, and that nothing else of matplotlib changes."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

import hpc_wgf as wgf
from hpc_wgf.pictures import KINDS, Subject, chosen_axes, drawn, movie, parsed_axes
from hpc_wgf.problems.self_similar import BarenblattFlow


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_and_the_backend_stays(porous, kind):
    """A notebook shows what is returned; its own backend and figures are as before."""
    pyplot.switch_backend("svg")
    before = pyplot.get_fignums()
    found = getattr(porous.plot, kind)()
    assert isinstance(found, Figure)
    assert found._repr_png_().startswith(b"\x89PNG")
    assert matplotlib.get_backend() == "svg"
    assert pyplot.get_fignums() == before


def test_a_notebook_shows_pictures_before_and_after(porous):
    """In a process of its own: cards and pictures, with pyplot and its figures in between."""
    code = f"""
import sys
import hpc_wgf as wgf
run = wgf.open_run({str(porous.path)!r})
assert "data:image/png" in run._repr_html_()
assert len(run.plot.clouds()._repr_png_()) > 5000
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
matplotlib.use("pdf")
from matplotlib import pyplot
pyplot.plot([1, 2])
assert len(run.plot.energy()._repr_png_()) > 5000
assert matplotlib.get_backend() == "pdf" and pyplot.get_fignums() == [1]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_exact_density_on_the_mesh_is_that_of_the_law(porous):
    """By differences of the exact map, against the Barenblatt profile at that time."""
    problem, subject = porous.problem, porous.subject
    mesh = subject.exact_mesh(0.2)
    start = problem.start
    assert isinstance(problem.exact, BarenblattFlow)
    later = wgf.Barenblatt(2, start.m, start.time + problem.exact.factor * 0.1)
    expected = later.log_density(torch.from_numpy(mesh.x.reshape(-1, 2))).exp().numpy()
    largest = expected.max()
    np.testing.assert_allclose(mesh.density.ravel(), expected, atol=1e-3 * largest)
    computed = subject.mesh(0.2)
    np.testing.assert_allclose(computed.density, mesh.density, atol=0.02 * largest)


def test_clouds_lie_inside_the_edge_of_the_support(porous):
    subject = porous.subject
    computed, exact = subject.edges(0.2, [0, 1])
    radius = np.linalg.norm(exact, axis=1)
    later = wgf.Barenblatt(2, 2.4, porous.problem.start.time + 0.1)
    np.testing.assert_allclose(radius, later.radius, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(computed, axis=1), radius, rtol=0.01)
    assert np.linalg.norm(subject.exact_points(0.2), axis=1).max() <= later.radius
    assert np.linalg.norm(subject.points(0.2), axis=1).max() <= 1.01 * later.radius
    assert subject.edges(0.2, [0]) is None


def test_axes_of_largest_motion_come_first(tmp_path):
    """Axis 3 is pulled by 3, axis 1 by 1, axis 2 by nothing."""
    potential = wgf.PotentialEnergy(wgf.Quadratic(3, mean=[1.0, 0.0, 3.0]))
    problem = wgf.Problem([potential, wgf.Entropy(1.0)], wgf.Gaussian(3), until=0.2)
    method = wgf.PWGFOptions(samples=100, step_size=0.1)
    wgf.solve(problem, wgf.Affine(3), method, wgf.Output(tmp_path / "run", every=0.2))
    run = wgf.open_run(tmp_path / "run", wgf.RunSpec(problem, wgf.Affine(3), method))
    assert chosen_axes(run, "largest", 2) == [2, 0]
    labels = [plot.get_xlabel() for plot in run.plot.clouds().axes]
    assert labels == ["$x_{3}$"] * 2
    assert run.plot.clouds(axes=(2, 1)).axes[0].get_ylabel() == "$x_{1}$"
    assert len(run.plot.pairs().axes) == 9
    assert run.plot.density(times=[0.1], axes=(1, 3)).axes


def test_on_the_line_densities_are_curves(tmp_path):
    problem = wgf.Problem([wgf.Entropy(1.0)], wgf.Gaussian(1), until=0.1)
    method = wgf.PWGFOptions(samples=100, step_size=0.05)
    wgf.solve(problem, wgf.Affine(1), method, wgf.Output(tmp_path / "run", every=0.1))
    run = wgf.open_run(tmp_path / "run", wgf.RunSpec(problem, wgf.Affine(1), method))
    run.plot.clouds().save(tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    last = run.plot.clouds().axes[-1]
    exact = next(line for line in last.lines if line.get_label() == "exact")
    x, density = exact.get_data()
    law = wgf.Gaussian(1, 0.0, 1.2).log_density(torch.from_numpy(x)[:, None]).exp()
    np.testing.assert_allclose(density, law, atol=1e-4)


def test_a_film_has_a_frame_for_every_time(porous, tmp_path, monkeypatch):
    movie(porous.subject, tmp_path / "a.gif", "clouds", times=[0.1, 0.13, 0.2])
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 3
    with pytest.raises(wgf.InputError, match="ends in .mp4 or .gif"):
        movie(porous.subject, tmp_path / "a.avi")
    with pytest.raises(wgf.InputError, match="no film of kind energy"):
        movie(porous.subject, tmp_path / "a.gif", "energy")
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    with pytest.raises(wgf.InputError, match="needs the program ffmpeg"):
        movie(porous.subject, tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda s: drawn(s, "cloud"), "no picture of kind 'cloud': known are clouds"),
        (lambda s: drawn(s, "clouds", axes=(1, 3)), "axes 1, 3 of a run in dimension 2"),
        (lambda s: drawn(s, "clouds", axes=(0, 1)), "numbers from 1 to 2"),
        (lambda s: drawn(s, "clouds", axes=(1, 1)), "different numbers"),
        (lambda s: drawn(s, "clouds", axes="first"), "'first' .*: expected \"largest\""),
        (lambda s: drawn(s, "clouds", [0.1, 0.9]), "t = 0.9 is outside of"),
        (lambda s: drawn(s, "energy", [0.1]), "shows all times"),
        (lambda s: parsed_axes("1;2"), "axes are '1;2'"),
        (lambda s: drawn(Subject(s.run, None), "clouds", [0.11]), "no particles at t = 0.11"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(porous, draw, words):
    with pytest.raises(wgf.InputError, match=words) as caught:
        draw(porous.subject)
    assert "\n" not in str(caught.value)
