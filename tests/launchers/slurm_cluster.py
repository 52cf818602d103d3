"""A Slurm of two machines, both of them this one, with a configuration, a munge and ports of its own.

Each daemon runs under a guard, which leaves nothing of it behind: no job step either, and whoever is killed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
_READY_S = 60
_LIMIT_S = 900
_GUARD = Path(__file__).resolve().parents[1] / "programs/guard.py"
_CONFIGURATION = """
ClusterName=numawise
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=2
GresTypes=gpu
NodeName=first NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} Gres=gpu:2 State=UNKNOWN
NodeName=second NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=10 State=UP
"""
# Slurm counts device files, whatever they are: these are on every machine, and nobody uses them.
_DEVICES = "Name=gpu File=/dev/full\nName=gpu File=/dev/zero\n"


def why_not() -> str | None:
    """The reason why no Slurm can be started here, or None."""
    missing = [name for name in (*DAEMONS, "srun") if not shutil.which(name, path=_path())]
    if missing:
        return f"no {', '.join(missing)} here (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons are started as root"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Cluster:
    """A running Slurm."""

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def srun(
        self, *words: str, environment: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a job step, at most `timeout` seconds."""
        return subprocess.run(
            ["srun", "--immediate=30", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
        )


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A Slurm of two machines with all our CPUs and, by name only, two GPUs each."""
    for name in ("state", "spool-first", "spool-second"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(
        _CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            ports=_free_ports(3),
            folder=folder,
            cpus=os.cpu_count(),
        )
    )
    (folder / "gres.conf").write_text(_DEVICES)
    made = Cluster(folder)
    # --force: the folders above ours are not ours to judge.
    munged = [
        *("munged", "--foreground", "--force", "--num-threads=2", f"--key-file={folder}/key"),
        *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"),
        *(f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"),
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        slurmd = ["slurmd", "-D", "-c", "-N"]
        for command in (munged, ["slurmctld", "-D", "-c"], [*slurmd, "first"], [*slurmd, "second"]):
            running.append(_start(command, folder, made.environment))
            if command is munged:
                _wait(lambda: (folder / "munge.socket").exists(), running, folder)
        _wait(lambda: _is_idle(made), running, folder)
        yield made
    finally:
        for daemon in reversed(running):
            daemon.terminate()
            daemon.wait()


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"{command[0]}.output").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(_GUARD), str(_LIMIT_S), "--", *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait(ready, running: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    until = time.monotonic() + _READY_S
    while not ready():
        ended = any(daemon.poll() is not None for daemon in running)
        if ended or time.monotonic() > until:
            logs = "\n".join(
                log.read_text(errors="replace")[-1500:] for log in sorted(folder.glob("*.output"))
            )
            raise RuntimeError(
                f"Slurm did not start ({'a daemon ended' if ended else 'never idle'}):\n{logs}"
            )
        time.sleep(0.2)


def _is_idle(made: Cluster) -> bool:
    asked = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%T"],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env=made.environment,
    )
    return asked.stdout.split() == ["idle", "idle"]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
