"""A launch is judged by what was seen of its memory and threads, against what its placement asked for."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest
from programs.children import REFUSE, child

from numawise.launch.process import Process
from numawise.linux import syscalls
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.observe import NodeShare, Residency
from numawise.observe.errors import ProcessGone, looking_at
from numawise.observe.proof import Watcher, on_target, wanted_nodes
from numawise.placement.values import MemoryPolicy, Placement

TOPOLOGY = read("/", devices=False)
NODE = syscalls.mems_allowed()[0]


def placement(
    mode: str = "default", nodes: tuple[int, ...] = (), cpus: CPUSet = TOPOLOGY.allowed.cpus
) -> Placement:
    return Placement(rank=3, cpus=cpus, memory=MemoryPolicy(mode, nodes))  # type: ignore[arg-type]


def seen_on(**shares: float) -> Residency:
    """A sample of 1 000 pages with these shares, as node0=0.5."""
    nodes = {int(name[4:]): NodeShare(share, share, share) for name, share in shares.items()}
    return Residency(1, 4 << 20, nodes, 1000, 0, (), nodes, 4 << 20, 1000, 1000.0, 1000.0)


@pytest.mark.parametrize(
    ("mode", "nodes", "seen", "share"),
    [
        ("bind", (1,), seen_on(node1=1.0), 1.0),
        ("bind", (0, 1), seen_on(node0=0.3, node1=0.6, node2=0.1), 0.9),
        ("preferred", (1,), seen_on(node0=1.0), 0.0),
        ("interleave", (0, 1), seen_on(node0=0.5, node1=0.5), 1.0),
        ("interleave", (0, 1), seen_on(node0=1.0), 0.5),
        ("interleave", (0, 1), seen_on(node0=0.6, node1=0.4), 0.9),
        ("interleave", (0, 1, 2, 8), seen_on(node0=0.25, node1=0.25, node3=0.5), 0.5),
    ],
)
def test_the_share_on_target(mode: str, nodes: tuple[int, ...], seen: Residency, share: float) -> None:
    found = on_target(MemoryPolicy(mode, nodes), nodes, seen)  # type: ignore[arg-type]
    assert found is not None
    assert found.share == pytest.approx(share)
    assert found.low <= found.share <= found.high


def test_nothing_asked_or_nothing_seen_has_no_share_on_target() -> None:
    assert on_target(MemoryPolicy(), (), seen_on(node0=1.0)) is None
    assert on_target(MemoryPolicy("bind", (1,)), (1,), seen_on()) is None


def test_local_memory_is_wanted_on_the_nodes_of_the_cpus() -> None:
    node = TOPOLOGY.nodes[0]
    assert wanted_nodes(placement("local", cpus=node.cpus), TOPOLOGY) == (node.id,)
    assert wanted_nodes(placement("bind", (7,)), TOPOLOGY) == (7,)
    assert wanted_nodes(placement(), TOPOLOGY) == ()


def test_the_look_that_saw_the_most_memory_counts() -> None:
    code = "a = area(6000); say('x'); stay()"
    watcher = Watcher(TOPOLOGY)
    with child("stay()") as small, child(code) as large:
        for pid in (small.pid, large.pid, small.pid):
            watcher.look([Process(pid, placement("bind", (NODE,)), ())])
    proof = watcher.proofs[3]
    assert proof.pid == large.pid
    assert proof.rss_kib >= 24_000
    assert proof.on_target is not None
    assert proof.on_target.share > 0.99 or len(TOPOLOGY.nodes) > 1
    assert proof.threads_outside == 0
    assert proof.cpus_used <= TOPOLOGY.allowed.cpus


def test_threads_that_may_leave_their_cpus_are_counted() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    watcher = Watcher(TOPOLOGY)
    with child("stay()") as other:
        watcher.look([Process(other.pid, placement(cpus=CPUSet(cpus[:1])), ())])
    assert watcher.proofs[3].threads_outside == 1


def test_a_process_that_ended_leaves_no_proof() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    watcher = Watcher(TOPOLOGY)
    watcher.look([Process(gone.pid, placement(), ())])
    assert watcher.proofs == {}
    assert watcher.refused == ""


def test_a_refused_look_is_kept_as_the_reason() -> None:
    code = """
import errno
import os
import resource
from numawise.launch.process import Process
from numawise.linux.cpuset import CPUSet
from numawise.machine import read
from numawise.observe.errors import ProcessGone, looking_at
from numawise.observe.proof import Watcher
from numawise.placement.values import Placement
watcher = Watcher(read("/", devices=False))
watcher.look([Process(os.getpid(), Placement(rank=0, cpus=CPUSet([0])), ())])
print(len(watcher.proofs), watcher.refused)
"""
    command = [sys.executable, REFUSE, "move_pages", "--", sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("0 ")
    assert "move_pages was refused" in said


def test_a_look_that_fails_is_told_and_touches_nothing() -> None:
    """Every way of failing to look at a process leaves the launch alone: the program is not ours to end."""
    watcher = Watcher(TOPOLOGY)
    sleeper = subprocess.Popen(["sleep", "60"])
    refused = Process(sleeper.pid, Placement(rank=0, cpus=TOPOLOGY.cpus), ())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # EMFILE, whatever is opened
        watcher.look([refused])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        sleeper.kill()
        sleeper.wait()
    assert "Too many open files" in watcher.refused
    assert watcher.proofs == {}


def test_a_process_that_loses_its_namespaces_while_it_ends_has_gone() -> None:
    with pytest.raises(ProcessGone), looking_at(5):
        raise OSError(errno.EINVAL, "Invalid argument", "/proc/5/mountinfo")
