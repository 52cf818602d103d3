"""CPU quotas and memory limits, in trees as control groups of version 1 and 2 make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from numawise.linux.cgroup import groups
from numawise.linux.cpu_quota import cpu_quota
from numawise.linux.memory_limit import Limit, memory_limit

V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
V1 = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
TOP_V1 = "/sys/fs/cgroup/cpu,cpuacct"


def quota(files: dict[str, str], mounts: str = V2, own: str = "0::/a/b\n") -> float | None:
    return cpu_quota({"/proc/mounts": mounts, "/proc/self/cgroup": own, **files}.get)


def test_the_tightest_quota_of_all_levels_counts() -> None:
    files = {
        "/sys/fs/cgroup/cpu.max": "800000 100000\n",
        "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
        "/sys/fs/cgroup/a/b/cpu.max": "400000 200000\n",
    }
    assert quota(files) == 1.5
    assert quota(files, own="0::/\n") == 8
    assert quota({**files, "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}) == 1.5


@pytest.mark.parametrize("text", ["max 100000", "", "0 100000", "x y", "100000 0", "-1 100000", "5 x"])
def test_what_grants_nothing_in_particular_is_no_quota(text: str) -> None:
    assert quota({"/sys/fs/cgroup/a/cpu.max": text}) is None


def test_version_1_above_and_hidden_by_a_namespace() -> None:
    own = "3:cpu,cpuacct:/docker/7f\n0::/docker/7f\n"
    inside = {f"{TOP_V1}/cpu.cfs_quota_us": "50000\n", f"{TOP_V1}/cpu.cfs_period_us": "100000\n"}
    assert quota(inside, V1, own) == 0.5
    outside = {
        f"{TOP_V1}/docker/cpu.cfs_quota_us": "300000\n",
        f"{TOP_V1}/docker/cpu.cfs_period_us": "100000\n",
        f"{TOP_V1}/docker/7f/cpu.cfs_quota_us": "-1\n",
        f"{TOP_V1}/docker/7f/cpu.cfs_period_us": "100000\n",
    }
    assert quota(outside, V1 + V2, own) == 3


def test_a_mount_point_with_a_blank() -> None:
    assert groups("c /my\\040groups cgroup2 rw 0 0", "0::/x", "cpu") == [
        ("cgroup2", ["/my groups/x", "/my groups"])
    ]


def test_nothing_mounted_limits_nothing() -> None:
    assert quota({}, mounts="") is None
    assert quota({}, mounts="half a line\n", own="nonsense\n") is None
    assert memory_limit({}.get) is None


def test_the_memory_limit_that_leaves_least_is_told_with_its_size() -> None:
    top, mid = "/sys/fs/cgroup", "/sys/fs/cgroup/a"
    files = {
        "/proc/self/mounts": V2,
        "/proc/self/cgroup": "0::/a\n",
        f"{top}/memory.max": str(8 << 30),
        f"{top}/memory.current": str(7 << 30),
        f"{top}/memory.stat": "anon 3\ninactive_file_x 9\n",
        f"{mid}/memory.max": str(2 << 30),
        f"{mid}/memory.current": "0",
    }
    assert memory_limit(files.get) == Limit(8 << 20, 1 << 20)


def test_rubbish_is_no_memory_limit(tmp_path: Path) -> None:
    files = {"/proc/mounts": V2, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "²"}
    assert memory_limit(files.get) is None
