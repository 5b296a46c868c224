"""A real Slurm of two nodes on this machine: munged, a controller, two node daemons, in a folder
of their own. Needs root and the Debian packages slurm-wlm and munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from processes import free_port

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
_CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ReturnToService=2
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
KillWait=10
MpiDefault=none
SwitchType=switch/none
NodeName=DEFAULT CPUs=2 RealMemory=8000 State=UNKNOWN
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """What keeps the cluster from being started, and what to do about it."""
    if os.geteuid() != 0:
        return "a Slurm of its own is started by root only"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(lacking)}: apt-get install slurm-wlm munge" if lacking else None


class Cluster:
    """Begun with `start`, ended with `end`; commands see it by SLURM_CONF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[subprocess.Popen] = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SLURM_")},
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def start(self, patience: float = 30.0) -> None:
        """All daemons up and both nodes idle. Errors: `TimeoutError` with the ends of the logs."""
        self.folder.chmod(0o755)  # munged insists
        (self.folder / "state").mkdir()
        ports = [free_port() for _ in range(3)]
        names = dict(zip(("controller", "first", "second"), ports, strict=True))
        text = _CONFIGURATION.format(folder=self.folder, host=socket.gethostname(), **names)
        (self.folder / "slurm.conf").write_text(text)
        munge = {
            name: str(self.folder / f"munge.{name}")
            for name in ("key", "socket", "pid", "log", "seed")
        }
        subprocess.run(["mungekey", "--create", "--keyfile", munge["key"]], check=True)
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={munge['key']}",
            f"--socket={munge['socket']}", f"--pid-file={munge['pid']}",
            f"--log-file={munge['log']}", f"--seed-file={munge['seed']}",
        )  # fmt: skip
        self._until(lambda: Path(munge["socket"]).exists(), patience, "munged has no socket")
        self._daemon("slurmctld", "-D")
        for node in ("n1", "n2"):
            self._daemon("slurmd", "-D", "-N", node)
        idle = ("sinfo", "--noheader", "--format=%T %D")
        self._until(lambda: self.says(*idle).strip() == "idle 2", patience, "nodes are not idle")

    def _daemon(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}-{len(self._daemons)}.out").open("wb")
        self._daemons.append(
            subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )
        )

    def end(self) -> None:
        """Every job cancelled, every daemon gone."""
        self.says("scancel", "--full", "--signal=KILL", "--user=root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def says(self, *command: str) -> str:
        """What a command prints; empty where it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=180
        )
        return done.stdout

    def submit(self, *command: object, cwd: Path, **environment: str) -> str:
        """`sbatch COMMAND`; the number of the job."""
        done = subprocess.run(
            ["sbatch", "--parsable", *map(str, command)], cwd=cwd, capture_output=True, text=True,
            env={**self.environment, **environment}, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """PENDING, RUNNING, COMPLETED, FAILED, …"""
        fields = dict(
            field.split("=", 1)
            for field in self.says("scontrol", "show", "job", job, "--oneliner").split()
            if "=" in field
        )
        return fields.get("JobState", "")

    def wait(self, job: str, patience: float) -> str:
        """The state in which a job ends."""
        busy = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "")
        self._until(lambda: self.state(job) not in busy, patience, f"job {job} does not end")
        return self.state(job)

    def _until(self, reached, patience: float, otherwise: str) -> None:
        end = time.monotonic() + patience
        while not reached():
            if time.monotonic() > end:
                paths = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
                logs = (path.read_text()[-1500:] for path in sorted(paths))
                raise TimeoutError(f"{otherwise} after {patience:g} s\n" + "\n".join(logs))
            time.sleep(0.1)
