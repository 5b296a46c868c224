"""README and guide: blocks run as printed, links lead somewhere, tables are the records'."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
import torch
from page_blocks import Block, blocks, commands
from page_commands import CHECKOUT, check
from processes import here
from rich.console import Console
from rich.markdown import Markdown

from hpc_wgf.config import catalogue
from hpc_wgf.guide import NAMES, page, summary_line, without_comments
from hpc_wgf.guide.generated import pages_of, regenerated
from hpc_wgf.guide.sections import filled

PAGES = pages_of(CHECKOUT)
_EACH = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a user's own beside the project's files; modules made there are forgotten."""
    for name in ("data", "launch", "slurm", "tests"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@_EACH
def test_every_block_does_what_it_says(path, folder):
    """The blocks of a page run in order, in one folder and one namespace."""
    names: dict = {"__name__": "__main__"}
    failures = []
    for block in blocks(path):
        try:
            carry_out(block, names)
        except (Exception, SystemExit) as error:
            failures.append(f"{path.name}:{block.line}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


def carry_out(block: Block, names: dict) -> None:
    """Run a block, or parse it where it is marked as long."""
    if block.file is not None:
        Path(block.file).write_text(block.body, encoding="utf-8")
    if block.language == "python":
        code = compile(block.body, block.file or f"line {block.line}", "exec")
        if block.file is None and not block.is_long:
            _execute(code, names)
    elif block.language in ("bash", "console"):
        for command in commands(block):
            check(command, run=not block.is_long)
    elif block.language == "toml":
        assert block.file is not None, "name the file of the block: <!-- file: NAME.toml -->"
        catalogue.load(block.file)
    else:
        raise AssertionError(f"no test knows a block of {block.language!r}")


def _execute(code, names: dict) -> None:
    """As a script of its own would run it, in torch's precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        exec(code, names)
    finally:
        torch.set_default_dtype(before)


@_EACH
def test_generated_sections_are_those_of_tables_and_records(path):
    text = regenerated(path, CHECKOUT)
    assert text == path.read_text(encoding="utf-8"), "run python -m hpc_wgf.guide"


@pytest.mark.parametrize("path", [*PAGES, CHECKOUT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_links_lead_to_files(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in _LINK.findall(text):
        if not target.startswith(("http:", "https:", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), target


@_EACH
def test_paths_in_the_text_are_there(path):
    """What stands in backticks and begins with a folder of the project, NAME apart."""
    text = path.read_text(encoding="utf-8")
    for named in re.findall(r"`((?:hpc_wgf|launch|slurm|tests|data)/[^`\s]*)`", text):
        assert "NAME" in named or (CHECKOUT / named).exists(), named


def test_the_readme_is_short_and_so_is_its_example():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10


def test_every_page_has_a_name_and_a_title():
    stored = {path.stem for path in (CHECKOUT / "hpc_wgf" / "guide").glob("*.md")}
    assert stored == set(NAMES)
    for name in NAMES:
        assert page(name).startswith(f"# {name} — ")
        assert summary_line(name)


def test_the_command_lists_and_shows_pages():
    listed = here("guide")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:] if line[0] != " "] == [
        *NAMES
    ]
    shown = here("guide", "run-file")
    assert shown.returncode == 0
    assert shown.stdout == without_comments(page("run-file"))
    assert "<!--" not in shown.stdout


def test_an_unknown_page_gets_the_nearest_name():
    done = here("guide", "tutorail")
    assert done.returncode == 2
    assert "did you mean 'tutorial'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pages_can_be_read_in_a_terminal():
    for name in NAMES:
        console = Console(width=80, force_terminal=True, file=io.StringIO(), record=True)
        console.print(Markdown(without_comments(page(name))))
        assert "<!--" not in console.export_text()


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("bash", "hpc-wgf run no-such-problem\n"),
        ("bash", "hpc-wgf run ou-2d --no-such-option 3\n"),
        ("bash", "hpc-wgf run ou-2d --set method.no_such_key=3\n"),
        ("bash", "hpc-wgf no-such-command\n"),
        ("bash", "hpc-wgf plan ou-2d --like data/runs/no-such-run.json\n"),
        ("bash", "bash launch/no-such-script.sh\n"),
        ("bash", "sbatch slurm/single_node.sbatch no-such-problem\n"),
        ("bash", "torchrun --nproc-per-node 2 -m hpc_wgf run no-such-problem\n"),
        ("python", "print(\n"),
        ("no-such-language", "\n"),
    ],
)
def test_a_long_block_is_still_parsed(language, body, folder):
    """What is wrong in a block that is not run is found all the same."""
    with pytest.raises(Exception, match="."):
        carry_out(Block(language, body, 1, frozenset({"long"})), {})


def test_a_section_that_nothing_writes_is_an_error():
    text = "a\n<!-- begin: x -->\nold\n<!-- end -->\nb\n"
    assert filled(text, {"x": lambda: "new"}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="nothing writes the section 'x'"):
        filled(text, {})
