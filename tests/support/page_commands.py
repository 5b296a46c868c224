"""Commands of the pages: run where they are short, else held against what they call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import typer
from page_blocks import Command
from processes import cli, here

from hpc_wgf.cli import app
from hpc_wgf.config import catalogue

CHECKOUT = Path(__file__).parents[2]
# Programs in whose arguments nothing is ours.
_FOREIGN = frozenset({"tail", "scancel"})


def check(command: Command, *, run: bool) -> None:
    """Run a command in the present folder, or with `run` false only parse it.

    Errors: `AssertionError` where it fails or would be refused.
    """
    program, *rest = command.words
    if program in _FOREIGN:
        return
    assert program in _PROGRAMS, f"no test knows the program {program!r}: {command}"
    _PROGRAMS[program](rest, command.target, run)


def parsed(arguments: Sequence[str]) -> None:
    """Hold `hpc-wgf ARGUMENTS` against the options that there are, the named problems, the run
    files and settings; nothing is computed."""
    command, context, rest = typer.main.get_command(app), None, list(arguments)
    while True:
        try:
            context = command.make_context(command.name or "hpc-wgf", rest, parent=context)
        except BaseException as end:  # of typer's own kinds, which it does not export
            if getattr(end, "exit_code", getattr(end, "code", 1)) == 0:
                return  # --help and the like
            shown = end.format_message() if hasattr(end, "format_message") else repr(end)
            raise AssertionError(f"hpc-wgf {' '.join(arguments)}: {shown}") from end
        if not hasattr(command, "commands"):
            break
        rest = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)
    _check_parameters(context.info_name or "", context.params)


def _check_parameters(name: str, given: dict) -> None:
    if name in ("run", "plan", "show", "sweep"):
        catalogue.load(given["name"], given.get("settings") or [])
    if name == "plan" and given["like"] is not None:
        assert Path(given["like"]).exists(), f"no {given['like']}"


def _ours(arguments: list[str], target: str | None, run: bool) -> None:
    if not run:
        parsed(arguments)
        return
    done = here(*arguments)
    assert done.returncode == 0, f"hpc-wgf {' '.join(arguments)}: {done.stderr}"
    if target is not None:
        Path(target).write_text(done.stdout, encoding="utf-8")


def _python(arguments: list[str], target: str | None, run: bool) -> None:
    if arguments[:2] == ["-m", "hpc_wgf"]:
        _ours(arguments[2:], target, run)
    elif arguments[0] == "-m":
        module = CHECKOUT / arguments[1].replace(".", "/")
        assert (module / "__main__.py").exists(), f"no module {arguments[1]} that can be run"
    else:
        script = Path(arguments[0])
        assert script.exists(), f"no script {script}"
        if run:
            exec(
                compile(script.read_text(encoding="utf-8"), script, "exec"),
                {"__name__": "__main__"},
            )


def _torchrun(arguments: list[str], target: str | None, run: bool) -> None:
    """Options of torchrun, then `-m hpc_wgf ARGUMENTS` or a script."""
    ranks = int(arguments[arguments.index("--nproc-per-node") + 1])
    if "-m" not in arguments:
        script = next(word for word in arguments if word.endswith(".py"))
        assert Path(script).exists(), f"no script {script}"
        return
    ours = arguments[arguments.index("-m") + 2 :]
    parsed(ours)
    if run:
        done = cli(*ours, ranks=ranks)
        assert done.returncode == 0, done.stderr


def _mpirun(arguments: list[str], target: str | None, run: bool) -> None:
    assert not run, "mpirun is not in every environment: mark the block as long"
    parsed(arguments[arguments.index("-m") + 2 :])


def _bash(arguments: list[str], target: str | None, run: bool) -> None:
    """Scripts of the project. They set up .venv first and start ranks: none is short."""
    script, *rest = arguments
    assert (CHECKOUT / script).is_file(), f"no script {script}"
    assert not run, f"{script} sets up an environment: mark the block as long"
    if Path(script).stem in ("torchrun", "mpirun", "deepspeed"):
        parsed(rest)
    elif Path(script).stem == "run":
        parsed(["run", *(rest or ["ou-10d"])])
    elif Path(script).stem == "gallery":
        parsed(["gallery", *rest])
    elif Path(script).stem == "record":
        for job in rest:
            name, _, setting = job.partition(":")
            catalogue.load(name, [setting] if setting else [])


def _sbatch(arguments: list[str], target: str | None, run: bool) -> None:
    """Options of sbatch, a script, then what goes to `hpc-wgf run`: never run."""
    at = next(k for k, word in enumerate(arguments) if word.endswith(".sbatch"))
    assert (CHECKOUT / arguments[at]).is_file(), f"no script {arguments[at]}"
    if Path(arguments[at]).stem == "array":
        for name in arguments[at + 1 :]:
            catalogue.load(name)
    else:
        parsed(["run", *arguments[at + 1 :]])


_PROGRAMS: dict[str, Callable[[list[str], str | None, bool], None]] = {
    "hpc-wgf": _ours,
    "python": _python,
    "torchrun": _torchrun,
    "mpirun": _mpirun,
    "bash": _bash,
    "sbatch": _sbatch,
}
