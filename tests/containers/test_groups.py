"""Control groups made here for real: a quota and a memory limit at the group or above it are seen and obeyed.

Needs root and a hierarchy that may be written; version 1 and 2 each where this machine has the controller there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from numawise.linux.cgroup import groups

MIB = 1 << 20
VERSIONS = ("version 1", "version 2")


class Group:
    """A control group with one below it, in which programs are run."""

    def __init__(self, top: Path, kind: str) -> None:
        self.kind = kind
        self.outer = top / f"numawise-test-{os.getpid()}"
        self.inner = self.outer / "inner"

    def make(self, controller: str) -> None:
        self.outer.mkdir()
        if self.kind == "cgroup2":
            (self.outer / "cgroup.subtree_control").write_text(f"+{controller}")
        self.inner.mkdir()

    def set_quota(self, cpus: float, *, inner: bool = False) -> None:
        folder, quota = self.inner if inner else self.outer, round(cpus * 100_000)
        if self.kind == "cgroup2":
            (folder / "cpu.max").write_text(f"{quota} 100000")
        else:
            (folder / "cpu.cfs_quota_us").write_text(str(quota))

    def set_memory(self, limit: int) -> None:
        name = "memory.max" if self.kind == "cgroup2" else "memory.limit_in_bytes"
        (self.outer / name).write_text(str(limit))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`numawise` in the inner group."""
        enter = 'echo $$ > "$0" && exec "$@"'
        command = [
            "sh",
            "-c",
            enter,
            str(self.inner / "cgroup.procs"),
            sys.executable,
            "-m",
            "numawise",
            *words,
        ]
        return subprocess.run(command, text=True, capture_output=True, timeout=60)

    def remove(self) -> None:
        for folder in (self.inner, self.outer):
            if folder.is_dir():
                folder.rmdir()


def tops(controller: str) -> dict[str, Path]:
    """Where groups of each version with this controller can be made."""
    found = {}
    for kind, folders in groups(Path("/proc/mounts").read_text(), "", controller):
        top = Path(folders[-1])
        listed = top / "cgroup.subtree_control"
        if kind == "cgroup2" and controller not in (listed.read_text().split() if listed.exists() else ()):
            continue
        if os.geteuid() == 0 and not os.statvfs(top).f_flag & os.ST_RDONLY:
            found[kind] = top
    return found


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    kind, controller = request.param
    top = tops(controller).get(kind)
    if top is None:
        pytest.skip(f"no {kind} hierarchy here gives the {controller} controller to groups we may make")
    made = Group(top, kind)
    try:
        made.make(controller)
        yield made
    finally:
        made.remove()


def allowed(group: Group) -> dict[str, object]:
    done = group.run("topology", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["allowed"]
    return found


@pytest.mark.parametrize("group", [("cgroup", "cpu"), ("cgroup2", "cpu")], indirect=True, ids=VERSIONS)
def test_a_quota_is_seen_at_every_level_and_shares_out_threads(group: Group) -> None:
    assert "cpu_quota" not in allowed(group)
    group.set_quota(0.75)
    assert allowed(group)["cpu_quota"] == 0.75
    group.set_quota(0.5, inner=True)
    assert allowed(group)["cpu_quota"] == 0.5
    node = str(json.loads(group.run("topology", "--json").stdout)["nodes"][0]["id"])
    planned = json.loads(group.run("plan", "--node", node, "--json").stdout)
    if os.cpu_count() != 1:
        assert planned["placements"][0]["threads"] == 1
        assert planned["placements"][0]["env"]["OMP_NUM_THREADS"] == "1"
    ran = group.run("run", "--node", node, "--threads", "1", "--", "sh", "-c", "echo $OMP_NUM_THREADS")
    assert ran.stdout == "1\n"
    assert "control groups grant" not in ran.stderr


@pytest.mark.parametrize("group", [("cgroup", "memory"), ("cgroup2", "memory")], indirect=True, ids=VERSIONS)
def test_a_memory_limit_is_seen_and_a_size_beyond_it_refused(group: Group) -> None:
    group.set_memory(256 * MIB)
    found = allowed(group)
    assert found["memory_limit_kib"] == 256 << 10
    room = found["memory_room_kib"]
    assert isinstance(room, int)
    assert (128 << 10) < room < (256 << 10)  # what numawise itself holds is used already
    refused = group.run("run", "--size", "1G", "--", "true")
    assert refused.returncode == 2
    assert "1.0 GiB do not fit under the memory limit of this control group: 256 MiB" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert group.run("run", "--size", "64M", "--", "true").returncode == 0
