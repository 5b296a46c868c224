"""Wrong command lines and run files: status 2, one line with the fault and what to do, and nothing
left behind."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from tomllib import TOMLDecodeError, loads

import pytest
from bad_lines import EXPECTED, FILES, LINES, SETTINGS
from processes import here, solved

from hpc_wgf import InputError
from hpc_wgf.config import load
from hpc_wgf.config.index import TABLES, keys_of
from hpc_wgf.fields import shown

# Words of pydantic and of Python that tell a user nothing.
_FOREIGN = re.compile(
    r"Traceback|[Ii]nput should|should be a valid|constrained|match pattern|unable to parse"
    r"|validation error|\w+Error\b|function-\w+|type=|\.py\b"
)


def refused(arguments: list[str], *words: str) -> None:
    done = here(*arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.rstrip("\n").split("\n")
    assert line.startswith("error: ")
    assert len(line) < 600
    assert done.stdout == ""
    assert line.isprintable()
    for word in words:
        assert word in line
    assert not _FOREIGN.search(line), line


def answer(settings: list[str]) -> str:
    """What is said against a run file with these settings; "" where nothing is."""
    try:
        load("ou-2d", settings)
    except InputError as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def _clean_folder(tmp_path, monkeypatch):
    """Run in an empty folder, in which nothing but what the test has written may be left."""
    monkeypatch.chdir(tmp_path)
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.toml"}


def test_there_are_many():
    settings = sum(map(len, EXPECTED.values())) + len(SETTINGS)
    assert settings + len(FILES) + len(LINES) >= 200


@pytest.mark.parametrize("expected", EXPECTED)
def test_settings_of_a_wrong_kind(expected):
    for setting in EXPECTED[expected]:
        key, _, text = setting.partition("=")
        value = text
        with suppress(TOMLDecodeError):
            value = loads(f"v = {text}")["v"]
        refused(["run", "ou-2d", "--set", setting], f"{key} = {shown(value)}: {expected}")


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: str(each)[:60])
def test_settings(settings):
    given = [settings] if isinstance(settings, str) else settings
    options = [part for setting in given for part in ("--set", setting)]
    refused(["run", "ou-2d", *options], *SETTINGS[settings])


@pytest.mark.parametrize("name", FILES)
def test_run_files(name, tmp_path):
    content, *words = FILES[name]
    (tmp_path / "bad.toml").write_bytes(content)
    refused(["run", "bad.toml"], *words)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:60])
def test_lines(line):
    refused(shlex.split(line), *LINES[line])


@pytest.mark.parametrize("until", ["nan", "inf", "-1", "0.05", "1e12", "x"])
def test_ends_of_a_run_that_is_resumed(tmp_path_factory, until):
    store = tmp_path_factory.mktemp("stored") / "run"
    options = ["problem.until=0.1", "output.every=0.1", "method.samples=50"]
    solved("run", "ou-2d", *(f"--set={each}" for each in options), "--out", store)
    before = sorted(path for path in store.rglob("*"))
    refused(["resume", str(store), "--until", until], until.removeprefix("1e12"))
    assert sorted(path for path in store.rglob("*")) == before


@pytest.mark.parametrize("option", ["--like", "--calibration"])
@pytest.mark.parametrize(
    "content", [b"{}", b"[1]", b"\xff", b"[" * 100_000, b'{"products_per_solve": NaN}', b""]
)
def test_records_that_are_none(tmp_path, option, content):
    (tmp_path / "bad.toml").write_bytes(content)
    refused(["plan", "ou-2d", option, "bad.toml"], "bad.toml", "--products" * (option == "--like"))


def test_a_picture_is_a_file(tmp_path_factory):
    store = tmp_path_factory.mktemp("stored") / "run"
    solved("run", "ou-2d", "--set=problem.until=0.1", "--set=method.samples=50", "--out", store)
    refused(["report", str(store), "--picture", "."], "cannot draw to .", "give a file")
    refused(["report", str(store), "--picture", "x.xyz"], "cannot draw to x.xyz", "png")
    refused(["report", str(store), "--picture", "no/x.png"], "cannot draw to no/x.png")


def test_too_little_memory_is_said_in_plain_words():
    done = here("bench", "store", "--parameters", "1000000000000000")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: there is no memory for a tensor that was asked for: take fewer samples"
    )
    assert done.stderr.count("\n") == 1


def test_no_key_of_any_table_answers_in_foreign_words():
    """Values of every kind for every key: each is taken, or refused in words of run files."""
    values = ["true", "3", "-1", "0.5", '"x"', '""', "[]", "[[]]", "{}", "[1, 'a']", "nan", "1e99"]
    start = {"map": "map.0", "problem.energy": "problem.energy.0", "problem": "problem"}
    for place, table in TABLES.items():
        if "kernel" in place:
            continue
        above, _, kind = place.rpartition(".")
        base = [f'{start.get(above, above)}={{kind="{kind}"}}'] if above else []
        for key in keys_of(table):
            for value in values:
                setting = f"{start.get(above, above) or place}.{key}={value}"
                said = answer([*base, setting])
                assert not _FOREIGN.search(said), (setting, said)
