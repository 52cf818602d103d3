"""What control groups leave of memory, in trees as version 1 and 2 make them."""

from __future__ import annotations

from pathlib import Path

from numawise.linux.memory_limit import room_kib

V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
V1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"


def tree(root: Path, mounts: str, own: str, files: dict[str, str]) -> str:
    for name, text in {"proc/mounts": mounts, "proc/self/cgroup": own, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_the_nearest_limit_of_all_groups_above_counts(tmp_path: Path):
    group = "sys/fs/cgroup/a"
    files = {
        f"{group}/memory.max": "1073741824\n",
        f"{group}/memory.current": "536870912\n",
        f"{group}/memory.stat": "anon 5\ninactive_file 1048576\n",
        f"{group}/b/memory.max": "max\n",
        f"{group}/b/memory.current": "536870912\n",
    }
    assert room_kib(tree(tmp_path, V2, "0::/a/b\n", files)) == (512 + 1) << 10


def test_version_1(tmp_path: Path):
    group = "sys/fs/cgroup/memory/job"
    files = {
        f"{group}/memory.limit_in_bytes": "2097152\n",
        f"{group}/memory.usage_in_bytes": "1048576\n",
        f"{group}/memory.stat": "total_inactive_file 0\n",
    }
    assert room_kib(tree(tmp_path, V1, "4:cpu,memory:/job\n0::/x\n", files)) == 1 << 10


def test_no_limit(tmp_path: Path):
    unlimited = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert room_kib(tree(tmp_path / "a", V1, "4:memory:/\n", unlimited)) is None
    assert room_kib(tree(tmp_path / "b", "", "", {})) is None
    assert room_kib(str(tmp_path / "nothing")) is None


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path):
    files = {"sys/fs/cgroup/memory.max": "4096\n", "sys/fs/cgroup/memory.current": "8192\n"}
    assert room_kib(tree(tmp_path, V2, "0::/\n", files)) == 0
