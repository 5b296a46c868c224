"""Every damage of `damage.py` under every command that reads stores, all in this process.

Usage: damage_study.py [EVERY] [--out FILE]: each damage, or one of EVERY; FILE gets the counts,
anew after each damage.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from damage import Damage, damages
from processes import here

import hpc_wgf as wgf
from hpc_wgf.config import build, load
from hpc_wgf.output import Output

REFUSED = "refused in one line"
_SECONDS = 30
_SETTINGS = [
    "problem.until=0.3", "method.samples=60", "method.step=0.05",
    'map=[{kind="affine"}]',
]  # fmt: skip


def stopped_run(path: Path) -> None:
    """A run of three rows at `path`, stopped a step after the last of them."""
    run_file = load("ou-2d", _SETTINGS)
    left = iter([False] * 4 + [True])
    wgf.solve(
        *build(run_file), Output(path, every=0.1), stop=lambda: next(left),
        configuration={**run_file.model_dump(mode="json"), "output": {"every": 0.1}},
    )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one command made of one damaged store."""

    damage: Damage
    command: str
    """The name of the command."""
    found: str
    """`REFUSED`, or what went wrong."""
    said: str
    """What it said on standard error."""


class Study:
    """Applies damages to copies of one run, and runs the commands on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        stopped_run(self.whole)
        sound = {name: self._run(name, None) for name in self.commands}
        assert all(status == 0 for status, _, _ in sound.values()), sound

    commands = ("report", "picture", "check", "resume")

    def outcomes(self, every: int = 1) -> Iterator[Outcome]:
        """Of one in `every` damages, all commands."""
        for damage in list(damages(self.whole))[::every]:
            for command in self.commands:
                yield self._outcome(damage, command)

    def _outcome(self, damage: Damage, command: str) -> Outcome:
        try:
            with _at_most(_SECONDS):
                found = self._verdict(*self._run(command, damage))
        except BaseException as error:  # a traceback, whatever it is of
            return Outcome(damage, command, f"escaped: {type(error).__name__}", str(error))
        return Outcome(damage, command, *found)

    def _verdict(self, status: int, said: str, shown: str) -> tuple[str, str]:
        lines = [line for line in said.splitlines() if not line.startswith("step ")]
        if status == 0:
            return "status 0", said
        if len(lines) != 1 or not lines[0].startswith("error: ") or "Traceback" in said:
            return "not one line", said
        return "called whole" if "whole" in shown else REFUSED, said

    def _run(self, command: str, damage: Damage | None) -> tuple[int, str, str]:
        """Status, standard error and standard output."""
        store, picture = self.folder / "run", self.folder / "run.png"
        _take_away(store)
        picture.unlink(missing_ok=True)
        shutil.copytree(self.whole, store)
        arguments = {"picture": ["report", store, "--picture", picture]}.get(
            command, [command, store]
        )
        if damage is None:  # and all that is imported late is there afterwards
            done = here(*arguments)
        else:
            damage.apply(store)
            with _as_nobody(store):
                done = here(*arguments)
        return done.returncode, done.stderr, done.stdout


def _take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _as_nobody(store: Path) -> Iterator[None]:
    """As a user to whom the store belongs, where this process is root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    for path in [store.parent, store, *store.rglob("*")]:
        if os.path.lexists(path):
            os.chown(path, nobody, -1, follow_symlinks=False)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """Errors: `TimeoutError` in place of a command that hangs."""

    def late(*_: object) -> None:
        raise TimeoutError(f"still there after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _counts(outcomes: list[Outcome], total: int) -> dict[str, object]:
    by_command: dict[str, dict[str, int]] = {}
    for command in Study.commands:
        found = Counter(outcome.found for outcome in outcomes if outcome.command == command)
        by_command[command] = dict(sorted(found.items()))
    kinds = Counter(outcome.damage.kind for outcome in outcomes if outcome.command == "report")
    return {
        "damages": sum(kinds.values()),
        "of": total,
        "by command": by_command,
        "by kind": dict(sorted(kinds.items())),
    }


def main() -> None:
    """The command."""
    arguments = sys.argv[1:]
    out = Path(arguments[arguments.index("--out") + 1]) if "--out" in arguments else None
    every = int(arguments[0]) if arguments and arguments[0].isdecimal() else 1
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as another user reads there
        study = Study(Path(folder))
        total = len(list(damages(study.whole)))
        for outcome in study.outcomes(every):
            outcomes.append(outcome)
            if outcome.found != REFUSED:
                print(f"{outcome.command}, {outcome.damage}: {outcome.found}: {outcome.said}")
            if out is not None and outcome.command == Study.commands[-1]:
                text = json.dumps(_counts(outcomes, total), indent=1, ensure_ascii=False)
                out.write_text(text + "\n")
    print(json.dumps(_counts(outcomes, total), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
