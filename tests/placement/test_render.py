"""A plan written for another tool does there what it does here: each line is tried against the real tool."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from machines import two_sockets

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.placement.plan import plan
from numawise.placement.render import formats, render
from numawise.placement.request import Request
from numawise.placement.values import MemoryPolicy

HERE = read("/", devices=False)
NODE = HERE.allowed.nodes[0]
SHOW = (
    "sh",
    "-c",
    "sed -n '1s/.* \\([a-z].*:[0-9]*\\|default\\|local\\) .*/\\1/p' /proc/self/numa_maps; echo $COLOUR",
)


def shell(line: str) -> str:
    return subprocess.run(["sh", "-c", line], text=True, capture_output=True, check=True).stdout


@pytest.mark.skipif(shutil.which("numactl") is None, reason="numactl is not installed")
@pytest.mark.parametrize(
    ("mode", "seen"),
    [("bind", "bind:"), ("interleave", "interleave:"), ("preferred", "prefer"), ("local", "local")],
)
def test_numactl_sets_the_same_policy(mode: str, seen: str) -> None:
    policy = MemoryPolicy(mode, () if mode == "local" else (NODE,))  # type: ignore[arg-type]
    wish = Request(cpus=CPUSet([min(HERE.allowed.cpus)]), memory=policy, env={"COLOUR": "it's red"})
    said = shell(render(plan(HERE, wish), "numactl", SHOW)).splitlines()
    assert said[0].startswith(seen)
    assert said[1] == "it's red"


WHERE_AM_I = (
    sys.executable,
    "-c",
    "import os; from numawise.linux.syscalls import get_mempolicy as g; print(g(), sorted(os.sched_getaffinity(0)))",
)


@pytest.mark.parametrize("tool", ["numactl", "taskset"])
@pytest.mark.parametrize("mode", ["default", "local", "bind", "preferred", "preferred-many", "interleave"])
def test_the_same_as_run(tool: str, mode: str) -> None:
    """What the kernel says of a process that the exported line starts, and of one that `run` starts."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    if tool == "taskset" and mode != "default":
        pytest.skip("taskset has no memory policies, and says so")
    cpu = CPUSet([max(HERE.allowed.cpus)])
    policy = MemoryPolicy(mode, () if mode in ("default", "local") else (NODE,))  # type: ignore[arg-type]
    line = render(plan(HERE, Request(cpus=cpu, memory=policy)), tool, WHERE_AM_I)
    selection = ["--cpus", str(cpu), "--mem", f"{mode}:{NODE}" if policy.nodes else mode]
    run = [sys.executable, "-m", "numawise", "run", "-q", *selection, "--", *WHERE_AM_I]
    by_run = subprocess.run(run, text=True, capture_output=True, check=True).stdout
    assert shell(line) == by_run
    assert str(list(cpu)) in by_run


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
def test_taskset_sets_the_same_cpus_and_says_what_it_cannot() -> None:
    last = CPUSet([max(HERE.allowed.cpus)])
    placed = plan(HERE, Request(cpus=last, memory=MemoryPolicy("bind", (NODE,))))
    line = render(placed, "taskset", ("sh", "-c", "taskset -cp $$"))
    assert shell(line).strip().endswith(f": {last}")
    assert line.startswith("# memory policy bind is lost")


def test_env_is_what_a_shell_reads() -> None:
    placed = plan(two_sockets(), Request(per="node", env={"ME": "rank {rank}; $(false)"}))
    block = render(placed, "env", ())
    assert shell(f"{block}\necho $ME") == "rank 1; $(false)\n"


def test_several_processes_are_several_lines_with_their_own_numbers() -> None:
    lines = render(
        plan(two_sockets(), Request(per="node", threads=4)), "numactl", ("serve", "{rank}")
    ).splitlines()
    assert [line.split()[-1] for line in lines] == ["0", "1"]
    assert "--membind=1" in lines[1]
    assert "OMP_NUM_THREADS=4" in lines[0]


def test_a_tool_there_is_no_file_for() -> None:
    assert {"numactl", "taskset", "env"} <= set(formats())
    with pytest.raises(UsageError, match="no export called 'excel'; there are compose, docker, env"):
        render(plan(two_sockets(), Request()), "excel", ())
