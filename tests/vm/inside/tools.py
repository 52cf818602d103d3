"""What the tests inside the virtual machine share: running numawise, programs that hold memory, cpusets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
PYTHON = (sys.executable, "-S", "-E")  # half the start of a full Python, which counts under emulation
HOLD = (*PYTHON, str(PROGRAMS / "hold_memory.py"))
PLACED = (*PYTHON, str(PROGRAMS / "placed_speed.py"))
NUMAWISE = (sys.executable, "-m", "numawise")


def numawise(
    *words: str, prefix: Sequence[str] = (), timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the command line; `prefix` is a command to run it under, such as `refuse(...)`."""
    return subprocess.run(
        [*prefix, *NUMAWISE, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def numawise_json(
    *words: str, prefix: Sequence[str] = (), command: Sequence[str] = (), timeout: float = 120
) -> Any:
    """Run a command that must succeed and prints JSON on stdout; `command` is the program after `--`."""
    after = ["--", *command] if command else []
    done = numawise(*words, "--json", *after, prefix=prefix, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refuse(*calls: str) -> list[str]:
    """A prefix under which these system calls answer EPERM."""
    return [*PYTHON, str(PROGRAMS / "refuse.py"), ",".join(calls), "--"]


@contextmanager
def holding(*words: str, prefix: Sequence[str] = ()) -> Iterator[tuple[int, int, int]]:
    """A process that holds memory, ready: its pid, and the address and length of that memory in bytes."""
    process = subprocess.Popen(
        [*prefix, *HOLD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    try:
        ready = process.stdout.readline().split()
        assert ready and ready[0] == "ready", "the program that holds memory did not start"
        yield int(ready[1]), int(ready[2]), int(ready[3])
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


@contextmanager
def cpuset(cpus: str, nodes: str) -> Iterator[list[str]]:
    """A cgroup with only these CPUs and memory nodes; gives the prefix that runs a command in it."""
    root = Path("/sys/fs/cgroup")
    (root / "cgroup.subtree_control").write_text("+cpuset")
    group = root / "numawise-test"
    group.mkdir()
    try:
        (group / "cpuset.cpus").write_text(cpus)
        (group / "cpuset.mems").write_text(nodes)
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        group.rmdir()


@contextmanager
def offline(cpu: int) -> Iterator[None]:
    """This CPU unplugged."""
    switch = Path(f"/sys/devices/system/cpu/cpu{cpu}/online")
    switch.write_text("0")
    try:
        yield
    finally:
        switch.write_text("1")
