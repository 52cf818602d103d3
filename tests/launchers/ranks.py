"""What the tests of real launchers share: the command a launcher starts, and what its ranks report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
NUMAWISE = (sys.executable, "-m", "numawise", "run", "--per", "rank")
MINE = tuple(sorted(os.sched_getaffinity(0)))
_SET_BY_LAUNCHERS = (
    "SLURM_",
    "OMPI_",
    "PMI",
    "MPI_",
    "CUDA_",
    "OMP_",
    "LOCAL_",
    "RANK",
    "WORLD_SIZE",
    "TORCHELASTIC",
)


def report(*options: str, seconds: float = 0, start: Sequence[str] = NUMAWISE) -> list[str]:
    """The command for a launcher: each rank tells where it is, its number and GPU as numawise fills them in."""
    program = [sys.executable, "-S", str(PROGRAMS / "rank_report.py"), str(seconds), "{rank}", "{ranks}"]
    return [*start, *options, "--", *program]


def environment(**more: str) -> dict[str, str]:
    """Ours without what a launcher around this test has set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_SET_BY_LAUNCHERS)}
    return {**clean, **more}


def launch(
    command: Sequence[str], variables: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a launcher, at most `timeout` seconds."""
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**(variables or {})),
        stdin=subprocess.DEVNULL,
    )


def told(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """What the ranks reported, by rank."""
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return sorted(reports, key=lambda each: int(each["words"][0]))


def are_apart(reports: Sequence[Any]) -> bool:
    """Has each rank CPUs of its own, and memory bound?"""
    cpus = [cpu for each in reports for cpu in each["cpus"]]
    return len(set(cpus)) == len(cpus) and all(each["policy"].startswith("bind:") for each in reports)
