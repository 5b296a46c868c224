"""The page of many problems, and a picture of each."""

from __future__ import annotations

import re

import pytest
from processes import here

import hpc_wgf as wgf
from hpc_wgf.config import catalogue
from hpc_wgf.pictures import draw, overview
from hpc_wgf.studies.gallery import default_items, named

TINY = 'base = "ou-2d"\nmethod.samples = 100\nmap = [{{kind = "affine"}}]\n[problem]\n{}\n'


@pytest.fixture(scope="module")
def made(ran, tmp_path_factory):
    """A gallery of two problems, and of one that fails; what its making said."""
    folder = tmp_path_factory.mktemp("gallery")
    for name, keys in (
        ("short", 'until = 0.05\ntitle = "a <short> one"'), ("line", "dimension = 1\nuntil = 0.1"),
        ("wrong", "until = 0.1\nstart.covariance = [1.0, 2.0, 3.0]"),
    ):  # fmt: skip
        (folder / f"{name}.toml").write_text(TINY.format(keys))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, here(*COMMAND)


COMMAND = ["gallery", "short.toml", "line.toml", "wrong.toml", "--out", "g", "--pictures", "p"]


def test_the_page_has_all_of_them_and_says_why_one_is_missing(made):
    folder, said = made
    assert said.returncode == 1
    assert "1 of 3 runs have failed: wrong" in said.stderr
    assert said.stderr.count("\n") == 1
    page = (folder / "g" / "gallery.html").read_text(encoding="utf-8")
    sections = page.split("<section>")
    assert len(sections) == 4
    for name, section in zip(("short", "line", "wrong"), sections[1:], strict=True):
        assert f'<a href="#{name}">' in sections[0]
        assert f'id="{name}"' in section
    panels = [0, *(len(overview(wgf.open_run(folder / "g" / f"{name}.zarr"))) for name in
                   ("short", "line")), 0]  # fmt: skip
    assert panels[1] >= 4
    assert [section.count("data:image/png;base64,") for section in sections] == panels
    assert "a &lt;short&gt; one" in sections[1]
    largest = max(wgf.open_run(folder / "g" / "short.zarr").summary.map_error_relative)
    assert f"<td>{largest:.1e}</td>" in sections[0]
    assert "covariance" in sections[3]
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing from elsewhere
    assert 'name="viewport"' in page


def test_pictures_are_those_that_a_report_draws(made, tmp_path):
    folder, _ = made
    assert sorted(path.name for path in (folder / "p").iterdir()) == ["line.png", "short.png"]
    draw(wgf.open_run(folder / "g" / "short.zarr"), tmp_path / "short.png")
    assert (tmp_path / "short.png").read_bytes() == (folder / "p" / "short.png").read_bytes()


def test_a_second_call_solves_what_has_failed_alone_and_if_asked(made, ran, monkeypatch):
    monkeypatch.chdir(made[0])
    ran.clear()
    assert here(*COMMAND[:-2]).returncode == 1
    assert ran == []
    here(*COMMAND[:-2], "--retry")
    assert ran == ["wrong"]


def test_names_and_settings_tell_a_run():
    one = named("ou-scaling:problem.dimension=32")
    assert one.name == "ou-scaling-32"
    assert one.tables["problem"]["dimension"] == 32
    items = default_items()
    assert {item.partition(":")[0] for item in items} == {
        name for name in catalogue.names() if "-paper" not in name
    }
    assert len(items) == len({named(item).name for item in items})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ou2d"], "did you mean 'ou-2d'"),
        (["ou-2d", "ou-2d"], "ou-2d is given twice"),
        (["ou-2d:method.samples"], "not of the form a.b=value"),
        (["ou-2d:method.samples=0"], "expected at least"),
    ],
)
def test_what_is_wrong_is_said_before_any_run(words, expected, ran, tmp_path):
    ran.clear()
    said = here("gallery", *words, "--out", tmp_path / "g")
    assert said.returncode == 2
    assert expected in said.stderr
    assert said.stderr.count("\n") == 1
    assert ran == []
    assert not (tmp_path / "g").exists()
