"""The launch scripts: what they set up they leave alone when it is right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import free_port, needs

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    *sorted((ROOT / "launch").glob("*.sh")),
    *sorted((ROOT / "slurm").iterdir()),
    ROOT / ".ci" / "run",
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


HANDED_ON = """
source "$1"; set -m
bash -c 'trap "echo asked" USR1; echo ready; for _ in {1..200}; do sleep 0.05; done; echo late' &
hand_on $! USR1 TERM HUP
echo ready
await $!
"""


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGHUP])
def test_a_script_hands_signals_on_and_ends_as_what_it_started(last):
    with subprocess.Popen(
        ["bash", "-c", HANDED_ON, "script", ROOT / "launch" / "signals.sh"],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup ignores
    ) as script:  # fmt: skip
        assert script.stdout is not None
        assert [script.stdout.readline() for _ in range(2)] == ["ready\n"] * 2  # both of them
        for _ in range(2):  # the script goes on waiting
            script.send_signal(signal.SIGUSR1)
            assert script.stdout.readline() == "asked\n"
        script.send_signal(last)
        assert script.wait(timeout=10) == 128 + last
        assert script.stdout.read() == ""  # what it started holds the pipe no more


@pytest.mark.parametrize(
    ("cards", "visible", "knows", "can", "said"),
    [
        (0, None, True, True, ["0", "2"]),
        (1, None, True, True, ["1", "1", "--numa-binding=node"]),
        (1, None, True, False, ["1", "1"]),
        (4, None, False, True, ["4", "4"]),
        (4, "0,2", True, True, ["2", "2", "--numa-binding=node"]),
        (4, "", True, True, ["0", "2"]),
        (4, "-1", True, True, ["0", "2"]),
    ],
)
def test_ranks_are_as_many_as_gpus_where_there_are_any(tmp_path, cards, visible, knows, can, said):
    """Two ranks on one GPU are refused. torchrun before 2.9 knows no binding to cores, and where a
    rank cannot be bound it would end."""
    listed = "\\n".join(f"GPU {k}: H100" for k in range(cards)) + "\\n" * (cards > 0)
    options = "--numa-binding {node}" if knows else ""
    for name, prints in (("nvidia-smi", listed), ("torchrun", options), ("numactl", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf -- '{prints}'\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python").write_text(f"#!/bin/sh\nexit {0 if can else 1}\n")
    (tmp_path / "python").chmod(0o755)
    here = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c",
         f'source "{ROOT}/launch/gpus.sh"; gpus; default_ranks; numa_binding {tmp_path}/torchrun'],
        env={**here, "PATH": f"{tmp_path}:{here['PATH']}",
             **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == said


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        ("'zarr', 'rich'", "lacks zarr rich: torch has to be the machine's own; for the others"),
        ("", "sees no GPU here: set PYTHON to one whose torch does"),
    ],
)
def test_a_machine_that_cannot_be_checked_is_told_what_it_lacks(tmp_path, hidden, said):
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys([{hidden}]))\n"
    )
    done = subprocess.run(
        ["bash", ROOT / "launch" / "gpu_check.sh"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("device", "records"),
    [
        ("cpu", ["draws.json", "ring.json", "ring-2-ranks.json", "rivals.json",
                 "run-porous-5d.json", "run-styblinski-tang-30d.json", "store.json"]),
        ("cuda", ["ring-cuda.json", "store-cuda.json"]),
    ],
)  # fmt: skip
def test_benchmarks_on_a_gpu_leave_the_records_of_cpus_alone(tmp_path, device, records):
    """One GPU has no two ranks, and what runs on the CPU alone is recorded there."""
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "setup.sh").touch()
    script = tmp_path / "launch" / "bench.sh"
    script.write_text((ROOT / "launch" / "bench.sh").read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("hpc-wgf", "torchrun"):  # which only make the record
        program = tmp_path / ".venv" / "bin" / name
        program.write_text(
            '#!/usr/bin/env bash\nwhile [ "$1" != --out ]; do shift; done\n: > "$2"\n'
        )
        program.chmod(0o755)
    done = subprocess.run(
        ["bash", script, "draws", "ring", "rivals", "run", "store"], capture_output=True, text=True,
        env={**os.environ, "DEVICE": device}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "data" / "benchmarks").iterdir()}
    assert made == set(records)
    said = [line for line in done.stderr.splitlines() if "left out" in line]
    assert len(said) == (0 if device == "cpu" else 3)


def test_restarts_are_not_for_batch_jobs(tmp_path):
    """There a run that has stopped would be begun again in the job that is to end."""
    (tmp_path / "launch").mkdir()
    for script in ("signals.sh", "setup.sh"):
        (tmp_path / "launch" / script).touch()
    environment = ROOT / "slurm" / "environment.sh"
    said = subprocess.run(
        ["bash", "-c", f'source "{environment}"; echo "$RESTARTS"'], capture_output=True,
        env={**os.environ, "HPC_WGF": str(tmp_path), "RESTARTS": "3"}, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "0\n"


IN_THE_ENVIRONMENT = pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="runs in the environment of launch/setup.sh only"
)


def launched(script: str, folder: Path, **environment: str) -> str:
    """What `launch/SCRIPT list`, started in another folder, prints on all its ranks."""
    done = subprocess.run(
        ["bash", ROOT / "launch" / script, "list"], cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@IN_THE_ENVIRONMENT
@pytest.mark.parametrize(
    "script",
    [
        "torchrun.sh",
        pytest.param("mpirun.sh", marks=needs("mpirun", "mpi")),
        pytest.param("deepspeed.sh", marks=needs("deepspeed", "deepspeed")),
    ],
)
def test_a_launcher_starts_as_many_ranks_as_asked_and_passes_arguments_on(tmp_path, script):
    port = str(free_port())
    assert launched(script, tmp_path, RANKS="2", PORT=port).count("rosenbrock-10d") == 2


@IN_THE_ENVIRONMENT
def test_torchrun_on_two_nodes(tmp_path):
    """Two launchers on this machine, which meet at the first one's address."""
    common = {"NNODES": "2", "HEAD": "127.0.0.1", "PORT": str(free_port()), "RANKS": "1"}

    def node(number: int) -> str:
        return launched("torchrun.sh", tmp_path, NODE_RANK=str(number), **common)

    with ThreadPoolExecutor(2) as nodes:
        printed = list(nodes.map(node, range(2)))
    assert [text.count("rosenbrock-10d") for text in printed] == [1, 1]


@IN_THE_ENVIRONMENT
def test_the_environment_that_set_up_built_is_taken_for_right():
    checked = subprocess.run(["bash", ROOT / "launch" / "setup.sh", "--check"], check=False)
    assert checked.returncode == 0


def test_ci_calls_the_test_command_of_the_readme():
    assert "bash launch/test.sh" in (ROOT / ".ci" / "run").read_text()
    assert "bash launch/test.sh" in (ROOT / "README.md").read_text()
